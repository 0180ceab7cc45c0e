/* What an ntpd asks of a machine and does not get in a test.
 *
 * Preloaded into it, this library lets it believe that it may set the clock and may leave its groups. The clock is never
 * set; what it measures and serves is the real time. HURRY in the environment says by how much its timers are hurried,
 * which OpenNTPD has in minutes. */

#define _GNU_SOURCE
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static int hurry = 1;

__attribute__((constructor)) static void begin(void)
{
    const char *asked = getenv("HURRY");
    if (asked != NULL)
        hurry = atoi(asked);
}

/* Its timers are on this clock, and nothing else of it is. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_MONOTONIC) {
        long long ns = (now->tv_sec * 1000000000LL + now->tv_nsec) * hurry;
        now->tv_sec = ns / 1000000000LL;
        now->tv_nsec = ns % 1000000000LL;
    }
    return result;
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    struct timespec wait = { timeout / hurry / 1000, timeout / hurry % 1000 * 1000000L + 1000000L };
    return ppoll(fds, count, timeout < 0 ? NULL : &wait, NULL);
}

int adjtime(const struct timeval *delta, struct timeval *left)
{
    (void)delta;
    if (left != NULL)
        memset(left, 0, sizeof *left);
    return 0;
}

int adjtimex(struct timex *settings)
{
    settings->freq = 0;
    return TIME_OK;
}

/* The same under the name that is newer. */
int clock_adjtime(clockid_t clock, struct timex *change)
{
    (void)clock;
    if ((change->modes & ADJ_FREQUENCY) == 0)
        change->freq = 0;
    if ((change->modes & ADJ_TICK) == 0)
        change->tick = 10000;
    return TIME_OK;
}

int settimeofday(const struct timeval *now, const struct timezone *zone)
{
    (void)now, (void)zone;
    return 0;
}

int setgroups(size_t count, const gid_t *groups)
{
    (void)count, (void)groups;
    return 0;
}
