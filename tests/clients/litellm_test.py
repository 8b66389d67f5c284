"""LiteLLM against two replicas: its Router takes a replica out of service for what is the server's fault alone."""

import asyncio
import os
import time
import unittest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before the import: nothing is downloaded

import litellm  # noqa: E402
from serving import Server  # noqa: E402

HI = [{"role": "user", "content": "hi"}]
MODEL = "stand-in"
REPLICAS = 2


def deployment(server):
    parameters = {"model": f"openai/{MODEL}", "api_base": f"http://127.0.0.1:{server.port}/v1", "api_key": "none"}
    return {"model_name": MODEL, "litellm_params": parameters}


class RouterTest(unittest.TestCase):
    def setUp(self):
        self.servers = [Server("--served-model-name", MODEL, "--max-model-len", "256") for _ in range(REPLICAS)]
        for server in self.servers:
            self.addCleanup(server.stop)

    def router(self, **options):
        router = litellm.Router(
            model_list=[deployment(server) for server in self.servers], cooldown_time=60, timeout=60, **options
        )
        self.addCleanup(router.retire)
        return router

    def answered(self, server):
        return server.metric("vllm:request_success_total")

    def test_both_replicas_answer(self):
        router = self.router(num_retries=0)
        for _ in range(20):
            answer = router.completion(model=MODEL, messages=HI, max_tokens=2)
            self.assertIn(answer.usage.completion_tokens, (1, 2))  # the answer may end at once
        for server in self.servers:
            self.assertGreater(self.answered(server), 0)

    def test_a_stream(self):
        chunks = list(self.router().completion(model=MODEL, messages=HI, max_tokens=8, stream=True))
        self.assertEqual(chunks[-1].choices[0].finish_reason, "length")

    def test_the_requests_fault_takes_no_replica_out_of_service(self):
        router = self.router(num_retries=0, allowed_fails=0)
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}
        rows = (
            (litellm.BadRequestError, {"response_format": schema}),
            (litellm.BadRequestError, {"extra_body": {"grammar": "root ::= [0-9]"}}),
            (litellm.BadRequestError, {"temperature": -1}),
            (litellm.ContextWindowExceededError, {"max_tokens": 100000}),
        )
        for _ in range(4):
            for error, fields in rows:
                with self.assertRaises(error):
                    router.completion(model=MODEL, messages=HI, **fields)
        before = [self.answered(server) for server in self.servers]
        for _ in range(20):
            router.completion(model=MODEL, messages=HI, max_tokens=1)
        for server, count in zip(self.servers, before):
            self.assertGreater(self.answered(server), count, "a replica was taken out of service")

    def test_a_draining_replica_is_left_for_the_other(self):
        router = self.router(num_retries=8, retry_after=0)
        asyncio.run(self.drain_under_load(router))
        self.assertEqual(self.servers[0].wait(40), 0)

    async def drain_under_load(self, router):
        async def ask():
            answer = await router.acompletion(model=MODEL, messages=HI, max_tokens=8)
            self.assertIn(answer.choices[0].finish_reason, ("length", "stop"))

        first = [asyncio.ensure_future(ask()) for _ in range(16)]
        await asyncio.sleep(0.2)
        self.servers[0].signal()
        begin = time.monotonic()
        while time.monotonic() - begin < 2:
            await asyncio.gather(*(ask() for _ in range(4)))
        await asyncio.gather(*first)


if __name__ == "__main__":
    unittest.main()
