/* A day in which time passes faster, for daemons that need many minutes.
 *
 * Preloaded into a daemon, it gives it clocks that go HURRY times as fast as the machine's, from HURRY_SINCE on (seconds of
 * CLOCK_MONOTONIC). All daemons with the same two see the same time. What one does to its clock is done to its own alone, and
 * never to the machine's. Datagrams go through the machine's network: delays look HURRY times as long, and timestamps are
 * those that the daemon takes, because the kernel's are of another time. */

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define BEGIN (1767225600LL * SECOND) /* 2026-01-01 */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static double hurry = 1, rate = 1;
static int64_t base, monotonic, wall; /* the machine's time, and what the clocks read then */
static long tick = 10000, freq;

static int64_t ns_of(const struct timespec *time) { return time->tv_sec * SECOND + time->tv_nsec; }

static struct timespec timespec_of(int64_t ns) { return (struct timespec){ ns / SECOND, ns % SECOND }; }

static int64_t machine(void)
{
	struct timespec now;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return ns_of(&now);
}

__attribute__((constructor)) static void begin(void)
{
	hurry = atof(getenv("HURRY"));
	base = atoll(getenv("HURRY_SINCE")) * SECOND;
	monotonic = base;
	wall = BEGIN;
}

/* Puts the bases to now; whoever calls it has the lock. */
static void rebase(void)
{
	int64_t now = machine(), passed = (now - base) * hurry * rate;

	base = now;
	monotonic += passed;
	wall += passed;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int64_t passed;

	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME)
		return syscall(SYS_clock_gettime, clock, time);
	pthread_mutex_lock(&lock);
	passed = (machine() - base) * hurry * rate;
	*time = timespec_of((clock == CLOCK_REALTIME ? wall : monotonic) + passed);
	pthread_mutex_unlock(&lock);
	return 0;
}

int clock_adjtime(clockid_t clock, struct timex *change)
{
	(void)clock;
	pthread_mutex_lock(&lock);
	rebase();
	if (change->modes & ADJ_FREQUENCY)
		freq = change->freq;
	if (change->modes & ADJ_TICK)
		tick = change->tick;
	if (change->modes & ADJ_SETOFFSET)
		wall += change->time.tv_sec * SECOND + change->time.tv_usec;
	rate = tick / 10000.0 * (1 + freq / 65536e6);
	change->freq = freq;
	change->tick = tick;
	pthread_mutex_unlock(&lock);
	return TIME_OK;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old)
{
	struct itimerspec hurried = { { 0, 0 }, { 0, 0 } };
	int64_t at = ns_of(&value->it_value);

	if (at != 0) {
		pthread_mutex_lock(&lock);
		at = base + (int64_t)((at - monotonic) / (hurry * rate)) + 1;
		pthread_mutex_unlock(&lock);
		hurried.it_value = timespec_of(at > 0 ? at : 1);
	}
	return syscall(SYS_timerfd_settime, fd, flags, &hurried, old);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	if (level == SOL_SOCKET && (name == SO_TIMESTAMPING || name == SO_TIMESTAMPNS || name == SO_TIMESTAMP)) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return syscall(SYS_setsockopt, fd, level, name, value, length);
}
