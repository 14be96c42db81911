/* A clock that a test can set, loaded into the process under test by LD_PRELOAD. It allocates nothing and looks nothing up, because
 * it is called before the process's own allocator is ready. Told by a file of 32 bytes, mapped: a number that changes with each
 * order, how far the wall clock is off (nanoseconds), and how fast the wall and the monotonic clock go. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct order { volatile uint64_t number; volatile int64_t offset; volatile double wall_rate, monotonic_rate; };
struct line { int64_t real, shown; double rate; };

static struct order *order;
static uint64_t obeyed;
static struct line lines[2] = {{0, 0, 1.0}, {0, 0, 1.0}};
static int busy;
extern char **environ;

static int64_t real(clockid_t clock) {
  struct timespec now;
  syscall(SYS_clock_gettime, clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t shown(const struct line *line, int64_t now) {
  return line->shown + (int64_t)((double)(now - line->real) * line->rate);
}

static void find_order(void) {
  static const char name[] = "FEDCHAOS_CLOCK=";
  for (char **at = environ; at && *at; at++) {
    int i = 0;
    while (name[i] && (*at)[i] == name[i]) i++;
    if (name[i]) continue;
    int file = (int)syscall(SYS_openat, AT_FDCWD, *at + i, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return;
    void *mapped = mmap(0, sizeof *order, PROT_READ, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (mapped != MAP_FAILED) order = mapped;
    return;
  }
}

static void obey(void) {
  int64_t wall = real(CLOCK_REALTIME), monotonic = real(CLOCK_MONOTONIC);
  if (!obeyed) lines[1] = (struct line){monotonic, monotonic, 1.0};
  lines[0] = (struct line){wall, wall + order->offset, order->wall_rate};
  /* The monotonic clock changes its pace and never jumps. */
  lines[1] = (struct line){monotonic, shown(&lines[1], monotonic), order->monotonic_rate};
  obeyed = order->number;
}

int clock_gettime(clockid_t clock, struct timespec *into) {
  int wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
  int monotonic = clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME;
  if (!wall && !monotonic) return (int)syscall(SYS_clock_gettime, clock, into);
  while (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) {}
  if (!order) find_order();
  if (order && order->number != obeyed) obey();
  int64_t now = real(wall ? CLOCK_REALTIME : CLOCK_MONOTONIC);
  if (obeyed) now = shown(&lines[wall ? 0 : 1], now);
  __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
  into->tv_sec = now / 1000000000;
  into->tv_nsec = now % 1000000000;
  return 0;
}

int gettimeofday(struct timeval *restrict into, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  into->tv_sec = now.tv_sec;
  into->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *into) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into) *into = now.tv_sec;
  return now.tv_sec;
}
