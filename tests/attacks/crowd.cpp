// Many connections, each with one request, that come evenly within some seconds (0: at once). Says how they were
// answered, and how soon.
//
//   crowd PORT N SECONDS < request
//   {"429": 9936, "200": 64, "p50_ms": 1.5, "p99_ms": 20.1, "max_ms": 30.2}
//
// Times are from the request's last byte to the answer's first, of refused ones (429, 503). Status 0: closed
// unanswered.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kSecondsMax = 60;  // beyond: unanswered

struct Crowd {
  int epoll = epoll_create1(0);
  std::string request;
  std::unordered_map<int, Clock::time_point> sent;  // of open connections; the epoch: not yet
  std::map<int, int> statuses;
  std::vector<double> refused_ms;

  void open(uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    epoll_event event{};
    event.events = EPOLLOUT;
    event.data.fd = fd;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    sent[fd] = {};
  }

  void on_event(int fd) {
    if (sent[fd] == Clock::time_point{}) {
      const ssize_t written = send(fd, request.data(), request.size(), MSG_NOSIGNAL);
      sent[fd] = Clock::now();
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
      if (written > 0) return;  // else it was refused before the request
    }
    char answer[64] = {};
    const ssize_t n = recv(fd, answer, sizeof(answer) - 1, 0);
    const int status = n > 12 ? std::atoi(answer + 9) : 0;
    const std::chrono::duration<double, std::milli> took = Clock::now() - sent[fd];
    ++statuses[status];
    if (status == 429 || status == 503) refused_ms.push_back(took.count());
    close(fd);
    sent.erase(fd);
  }

  void run(uint16_t port, int wanted, double seconds) {
    const auto begin = Clock::now(), end = begin + std::chrono::seconds(kSecondsMax);
    std::vector<epoll_event> events(64);
    int opened = 0;
    while ((opened < wanted || !sent.empty()) && Clock::now() < end) {
      const double passed = std::chrono::duration<double>(Clock::now() - begin).count();
      const int due = passed >= seconds ? wanted : static_cast<int>(passed / seconds * wanted);
      for (; opened < due; ++opened) open(port);
      const int n = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), opened < wanted ? 1 : 1000);
      for (int i = 0; i < n; ++i) on_event(events[static_cast<size_t>(i)].data.fd);
    }
    if (!sent.empty()) statuses[0] += static_cast<int>(sent.size());
  }

  double at(double share) const {
    return refused_ms.empty() ? 0 : refused_ms[static_cast<size_t>(share * static_cast<double>(refused_ms.size() - 1))];
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  Crowd crowd;
  crowd.request.assign(std::istreambuf_iterator<char>(std::cin), {});
  crowd.run(static_cast<uint16_t>(std::atoi(argv[1])), std::atoi(argv[2]), std::atof(argv[3]));
  std::sort(crowd.refused_ms.begin(), crowd.refused_ms.end());
  std::printf("{");
  for (const auto& [status, n] : crowd.statuses) std::printf("\"%d\": %d, ", status, n);
  std::printf("\"p50_ms\": %.1f, \"p99_ms\": %.1f, \"max_ms\": %.1f}\n", crowd.at(0.5), crowd.at(0.99), crowd.at(1));
  return 0;
}
