"""Tools as the TypeScript declarations of Kimi-K2.5's tokenizer: the oracle of src/api/chat/tool_declarations.cpp.

`declared(tools)` is None where a schema cannot be declared; `sorted_members(value)` sorts objects by name.
"""
import json

UNION = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null",
         "object": "{}", "array": "Array<any>"}
LIMITS = {"string": ["maxLength", "minLength", "pattern"], "number": ["maximum", "minimum"],
          "integer": ["maximum", "minimum"], "array": ["maxItems", "minItems"]}
FITS = {"string": str, "number": (int, float), "integer": int, "boolean": bool}


def sorted_members(value):
    if isinstance(value, dict):
        return {k: sorted_members(value[k]) for k in sorted(value)}
    return [sorted_members(v) for v in value] if isinstance(value, list) else value


def comment(text, indent=""):
    return "".join((f"{indent}// {line}" if line else "") + "\n" for line in text.split("\n")) if text else ""


class Function:
    def __init__(self):
        self.definitions, self.refers_to_itself = {}, False

    def comments(self, schema, indent):
        if not isinstance(schema, dict) or not schema:
            return ""
        out = comment(schema.get("description"), indent)
        plain = not {"$ref", "anyOf", "enum"} & set(schema) and isinstance(schema["type"], str)
        limits = [f"{k}: {schema[k]}" for k in LIMITS.get(schema["type"], []) if k in schema] if plain else []
        return out + (f"{indent}// {', '.join(limits)}\n" if limits else "")

    def field(self, name, schema, optional, indent):
        default = schema.get("default") if isinstance(schema, dict) else None
        shown = repr(default) if isinstance(default, (int, float)) else json.dumps(default, ensure_ascii=False)
        shown = "" if default is None else f"{indent}// Default: {shown}\n"
        kind = self.type(schema, indent)
        return f"{self.comments(schema, indent)}{shown}{indent}{name}{'?' if optional else ''}: {kind}"

    def fields(self, schema, indent):
        """[(optional, text)] in the schema's order."""
        need = schema.get("required", [])
        return [(k not in need, self.field(k, v, k not in need, indent))
                for k, v in schema.get("properties", {}).items()]

    def object(self, schema, indent):
        self.definitions.update(schema.get("$defs") or {})
        inner, more = indent + "  ", schema.get("additionalProperties")
        rest = [] if more is None else [f"{inner}[k: string]: {'never' if more is False else self.type(more, inner)}"]
        members = [text for _, text in sorted(self.fields(schema, inner), key=lambda f: f[0])] + rest
        return "{\n" + ",\n".join(members) + f"\n{indent}}}" if members else "{}"

    def type(self, schema, indent):
        if isinstance(schema, bool) or not schema:
            return "null" if schema is False else "any"
        if "$ref" in schema:
            self.refers_to_itself |= schema["$ref"] == "#"
            name = schema["$ref"].removeprefix("#/$defs/")
            return "parameters" if name == "#" else (self.definitions[name], name)[1]
        if "anyOf" in schema:
            return " | ".join(self.type(one, indent) for one in schema["anyOf"])
        if "enum" in schema:
            kinds = schema.get("type")
            kind = [k for k in kinds if k != "null"][0] if isinstance(kinds, list) else kinds
            if not all(v is None or isinstance(v, FITS.get(kind, object)) for v in schema["enum"]):
                raise ValueError(schema)
            return " | ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in schema["enum"])
        if isinstance(schema["type"], list):
            return " | ".join(UNION[k] for k in schema["type"])
        if schema["type"] == "object":
            return self.object(schema, indent)
        if schema["type"] == "array":
            items, inner = schema.get("items") or {}, indent + "  "
            about = self.comments(items, inner)
            return (f"Array<\n{about}{inner}{self.type(items, inner)}\n{indent}>" if about
                    else f"Array<{self.type(items, indent)}>")
        return "number" if schema["type"] == "integer" else schema["type"]

    def declaration(self, function):
        parameters = function.get("parameters") or {}
        body, out = self.object(parameters, ""), ""
        if self.refers_to_itself:
            members = [text for _, text in self.fields(parameters, "  ")]
            out, body = "interface parameters {\n" + ",\n".join(members) + "\n}\n", "parameters"
        for name, schema in list(self.definitions.items()):
            out += f"{comment(schema.get('description'))}interface {name} {self.type(schema, '')}\n"
        return out + comment(function.get("description")) + f"type {function['name']} = (_: {body}) => any;\n"


def declared(tools):
    try:
        functions = "".join(Function().declaration(t["function"]) for t in tools if t.get("type") == "function")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    return f"# Tools\n\n## functions\nnamespace functions {{\n{functions}}}\n" if functions else ""
