/* The machine's own clocks stand still under a simulation, whose time is another. What asks for them all the same (h2 forgets a stream
 * that was reset when a second is over) would depend on how busy the machine is, and the same seed would not be the same run. Linked
 * into the program, so that it is found before the C library's. */
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *into) {
  (void)clock;
  into->tv_sec = 1700000000;
  into->tv_nsec = 0;
  return 0;
}
