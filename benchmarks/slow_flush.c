/* Preloaded into a PostgreSQL server, it makes every flush take SLOW_FLUSH_NS nanoseconds at
   least, as a disk without a fast write cache would. The flush itself is done as always. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static long long now(void)
{
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int slowly(const char *name, int file)
{
  const char *setting = getenv("SLOW_FLUSH_NS");
  int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, name);
  long long until = now() + (setting ? atoll(setting) : 0);
  int result = real(file);
  int error = errno;
  struct timespec end = {until / 1000000000LL, until % 1000000000LL};

  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR)
    ;
  errno = error;
  return result;
}

int fsync(int file)
{
  return slowly("fsync", file);
}

int fdatasync(int file)
{
  return slowly("fdatasync", file);
}
