#pragma once

// Names of threads, as tools such as top and the watchdog's dump show them.

#include <pthread.h>

namespace polymath::base {

// Names this thread; threads that it makes inherit the name. At most 15 characters.
inline void name_thread(const char* name) { pthread_setname_np(pthread_self(), name); }

// A name for as long as the scope lasts: for threads that another room makes.
class ThreadNameScope {
 public:
  explicit ThreadNameScope(const char* name) {
    pthread_getname_np(pthread_self(), before_, sizeof(before_));
    name_thread(name);
  }
  ~ThreadNameScope() { name_thread(before_); }
  ThreadNameScope(const ThreadNameScope&) = delete;
  ThreadNameScope& operator=(const ThreadNameScope&) = delete;

 private:
  char before_[16] = {};
};

}  // namespace polymath::base
