/* A world for two daemons: their clocks, and the network between them.
 *
 * Preloaded into each, it takes the place of the C library's functions for time, waiting and sockets. Both share a
 * mapped file (SIMULATED_WORLD) with the true time, which moves only while both wait, to the next thing that either
 * waits for. Every clock is wrong in its own way: SIMULATED_OFFSET seconds and SIMULATED_PPM. The daemon that is node
 * 1 or 2 (SIMULATED_NODE) has the address 10.0.0.1 or 10.0.0.2. Its real-time clock is ahead of true time by SIMULATED_RTC
 * seconds; without that it has none. Another daemon may keep its clock: it has a file, SIMULATED_KEEPER, and tells the kernel
 * every 16 s that the clock is right, until the file is removed after SIMULATED_KEEPER_ENDS seconds.
 *
 * A daemon that does what cannot be intercepted, or what a simulator cannot answer, is ended with a message. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/rtc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#ifndef NODES
#define NODES 2
#endif

enum { MESSAGES = 64, LENGTH_MAX = 512, FDS = 256, TRACE = 4096 };

#define SECOND 1000000000LL
#define START (1767225600LL * SECOND) /* 2026-01-01 */
#define NEVER INT64_MAX

struct message { int64_t at; int used, to, from_port, to_port, from, length; unsigned char data[LENGTH_MAX]; };

struct world {
	/* Read by the test: true time of the end, and of node 2 each second of true time its clock's error. */
	int64_t end, traced;
	double trace[TRACE];
	int64_t steps, rates, synchronised;
	/* The rest is between the nodes. */
	int ready;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	int64_t now, next[NODES];
	int present, gone[NODES];
	struct message messages[MESSAGES];
};

static struct { int used, port, remote, remote_port, info, stamps, sent; unsigned char last[LENGTH_MAX]; } sockets[FDS];
static struct world *world;
static int node, timer = -1, rtc = -1;
static int64_t base, timer_at = NEVER;         /* true time of the bases; what the timer is set to, monotonic */
static double wall_error, elapsed, oscillator; /* error of the clock and monotonic time at `base`, in ns; ppm */
static int64_t rtc_ahead, rtc_at = NEVER;      /* the real-time clock, and when its next second is told, true time */
static long tick = 10000, freq;
static int status = STA_UNSYNC;
static double bound = 16e6;                    /* of the clock's error as the kernel was told, in us; it was at: */
static int64_t told_at = START, keeper_ends = NEVER;
static uint64_t randomness;

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "simulated: %s\n", what);
		_exit(99);
	}
}

static uint64_t next_random(void)
{
	randomness = randomness * 6364136223846793005ULL + 1442695040888963407ULL;
	return randomness ^ randomness >> 33;
}

static double rate(void)
{
	return (1 + oscillator * 1e-6) * (1 + (tick - 10000) * 1e-4 + freq / 65536e6);
}

static double error_at(int64_t true_time) { return wall_error + (true_time - base) * (rate() - 1); }

static int64_t monotonic_at(int64_t true_time) { return elapsed + (true_time - base) * rate(); }

static int64_t wall(void) { return world->now + (int64_t)error_at(world->now); }

/* Puts the bases to now, before the rate changes. */
static void rebase(void)
{
	double error = error_at(world->now);

	elapsed += (world->now - base) * rate();
	wall_error = error;
	base = world->now;
}

static struct timespec timespec_of(int64_t ns) { return (struct timespec){ ns / SECOND, ns % SECOND }; }

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("SIMULATED_WORLD");
	pthread_mutexattr_t shared;
	pthread_condattr_t shared_too;
	int fd, none = 0;

	if (!path)
		return;
	fd = open(path, O_RDWR);
	must(fd >= 0, "no world");
	world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(world != MAP_FAILED, "no map");
	close(fd);
	node = atoi(getenv("SIMULATED_NODE")) - 1;
	oscillator = atof(getenv("SIMULATED_PPM"));
	wall_error = atof(getenv("SIMULATED_OFFSET")) * SECOND;
	randomness = node + 1;
	if (getenv("SIMULATED_KEEPER"))
		keeper_ends = START + atoll(getenv("SIMULATED_KEEPER_ENDS")) * SECOND;
	if (__atomic_compare_exchange_n(&world->ready, &none, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		pthread_mutexattr_init(&shared);
		pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
		pthread_mutex_init(&world->lock, &shared);
		pthread_condattr_init(&shared_too);
		pthread_condattr_setpshared(&shared_too, PTHREAD_PROCESS_SHARED);
		pthread_cond_init(&world->moved, &shared_too);
		world->now = START;
		__atomic_store_n(&world->ready, 2, __ATOMIC_SEQ_CST);
	}
	while (__atomic_load_n(&world->ready, __ATOMIC_SEQ_CST) != 2)
		;
	base = START;
	pthread_mutex_lock(&world->lock);
	world->present++;
	pthread_mutex_unlock(&world->lock);
}

static void move(void);

__attribute__((destructor)) static void end(void)
{
	if (!world)
		return;
	pthread_mutex_lock(&world->lock);
	/* How it leaves its clock counts too. */
	if (node == 1 && world->traced < TRACE) {
		world->traced += world->traced == 0;
		world->trace[world->traced++] = error_at(world->now) / SECOND;
	}
	world->gone[node] = 1;
	/* The others may be waiting for this one alone. */
	move();
	pthread_cond_broadcast(&world->moved);
	pthread_mutex_unlock(&world->lock);
}

/* ---- clocks ---- */

int clock_gettime(clockid_t clock, struct timespec *time)
{
	if (!world)
		return syscall(SYS_clock_gettime, clock, time);
	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) {
		errno = EINVAL;
		return -1;
	}
	*time = timespec_of(clock == CLOCK_REALTIME ? wall() : monotonic_at(world->now));
	return 0;
}

/* What the kernel was told last, by the other daemon too, which tells it once more as it ends. */
static void keep(void)
{
	int64_t last = keeper_ends < world->now ? keeper_ends : world->now - (world->now - START) % (16 * SECOND);

	if (keeper_ends == NEVER || last <= told_at)
		return;
	told_at = last;
	bound = 1000;
	status = 0;
}

int clock_adjtime(clockid_t clock, struct timex *change)
{
	must(clock == CLOCK_REALTIME, "another clock is adjusted");
	/* What no clock has: whoever may adjust it is told so. */
	if (change->modes == ADJ_TICK && change->tick == 0) {
		errno = EINVAL;
		return -1;
	}
	rebase();
	keep();
	if (change->modes & ADJ_FREQUENCY)
		freq = change->freq;
	if (change->modes & ADJ_TICK)
		tick = change->tick;
	if (change->modes & ADJ_SETOFFSET) {
		must(change->modes & ADJ_NANO, "a step without ADJ_NANO");
		wall_error += change->time.tv_sec * (double)SECOND + change->time.tv_usec;
		world->steps += node == 1;
	}
	/* Finding out whether it may be done sets the frequency to what it is. */
	world->rates += node == 1 && change->modes & ADJ_TICK;
	if (change->modes & ADJ_STATUS && node == 1)
		world->synchronised = !(change->status & STA_UNSYNC);
	if (change->modes & ADJ_STATUS)
		status = change->status;
	if (change->modes & ADJ_MAXERROR) {
		bound = change->maxerror;
		told_at = world->now;
	}
	change->freq = freq;
	change->tick = tick;
	change->status = status;
	change->maxerror = bound + (world->now - told_at) * 500e-9;
	if (change->maxerror > 16000000)
		change->maxerror = 16000000;
	return 0;
}

ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
	for (size_t i = 0; i < length; i++)
		((unsigned char *)buffer)[i] = next_random();
	return length;
}

/* ---- sockets ---- */

/* A number for a thing that only this world knows; the system shall not use it for another. */
static int placeholder(void)
{
	int fd = open("/dev/null", O_RDWR);

	must(fd >= 0 && fd < FDS, "too many descriptors");
	return fd;
}

int socket(int family, int type, int protocol)
{
	int fd;

	must(type == SOCK_DGRAM, "a socket with flags in its type");
	if (family != AF_INET) {
		errno = EINVAL;
		return -1;
	}
	fd = placeholder();
	memset(&sockets[fd], 0, sizeof sockets[fd]);
	sockets[fd].used = 1;
	sockets[fd].port = 40000 + fd;
	return fd;
}

int close(int fd)
{
	if (fd == rtc)
		rtc = -1;
	if (fd >= 0 && fd < FDS)
		sockets[fd].used = 0;
	return syscall(SYS_close, fd);
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	int port = ntohs(((const struct sockaddr_in *)address)->sin_port);

	if (port)
		sockets[fd].port = port;
	return 0;
}

static int node_of(const struct sockaddr_in *address)
{
	int last = ntohl(address->sin_addr.s_addr) - 0x0a000000;

	must(last >= 1 && last <= NODES, "a datagram into the world outside");
	return last - 1;
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	sockets[fd].remote = node_of((const void *)address);
	sockets[fd].remote_port = ntohs(((const struct sockaddr_in *)address)->sin_port);
	return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	if (level == IPPROTO_IP && name == IP_PKTINFO)
		sockets[fd].info = *(const int *)value;
	if (level == SOL_SOCKET && name == SO_TIMESTAMPING)
		sockets[fd].stamps = *(const int *)value;
	return 0;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	*(int *)value = 0;
	return 0;
}

ssize_t sendmsg(int fd, const struct msghdr *header, int flags)
{
	struct message *free = NULL;
	int length = header->msg_iov[0].iov_len;

	must(sockets[fd].used && header->msg_iovlen == 1 && length <= LENGTH_MAX, "a datagram of parts");
	must(!sockets[fd].remote_port || !header->msg_name, "an address for a connected socket");
	pthread_mutex_lock(&world->lock);
	for (int i = 0; i < MESSAGES && !free; i++)
		if (!world->messages[i].used)
			free = &world->messages[i];
	must(free != NULL, "too many datagrams under way");
	free->used = 1;
	free->from = node;
	free->from_port = sockets[fd].port;
	free->to = header->msg_name ? node_of(header->msg_name) : sockets[fd].remote;
	free->to_port = header->msg_name ? ntohs(((struct sockaddr_in *)header->msg_name)->sin_port)
					 : sockets[fd].remote_port;
	/* Half a millisecond, and up to a tenth more. */
	free->at = world->now + 500000 + next_random() % 50000;
	free->length = length;
	memcpy(free->data, header->msg_iov[0].iov_base, length);
	if (world->next[free->to] > free->at)
		world->next[free->to] = free->at;
	pthread_mutex_unlock(&world->lock);
	if (sockets[fd].stamps & SOF_TIMESTAMPING_TX_SOFTWARE) {
		sockets[fd].sent = length;
		memcpy(sockets[fd].last, header->msg_iov[0].iov_base, length);
	}
	return length;
}

/* The message that has arrived at a socket; with `later` also one that will. */
static struct message *arrived(int fd, int later)
{
	struct message *first = NULL;

	for (int i = 0; i < MESSAGES; i++) {
		struct message *m = &world->messages[i];
		int ours = m->used && m->to == node && m->to_port == sockets[fd].port;
		int known = !sockets[fd].remote_port ||
			    (m->from == sockets[fd].remote && m->from_port == sockets[fd].remote_port);

		if (ours && known && (later || m->at <= world->now) && (!first || m->at < first->at))
			first = m;
	}
	return first;
}

static size_t add(struct msghdr *header, size_t used, int level, int type, const void *data, size_t length)
{
	struct cmsghdr *control = (void *)((char *)header->msg_control + used);

	must(header->msg_controllen >= 512, "too little room for control messages");
	control->cmsg_level = level;
	control->cmsg_type = type;
	control->cmsg_len = CMSG_LEN(length);
	memcpy(CMSG_DATA(control), data, length);
	return used + CMSG_SPACE(length);
}

ssize_t recvmsg(int fd, struct msghdr *header, int flags)
{
	unsigned char frame[LENGTH_MAX + 42] = { 0 }, *data = frame;
	struct sock_extended_err error = { .ee_errno = ENOMSG, .ee_origin = SO_EE_ORIGIN_TIMESTAMPING };
	struct timespec stamps[3] = { timespec_of(wall()) };
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct in_pktinfo info = { .ipi_ifindex = 1 };
	struct message *m = NULL;
	size_t length, used = 0;

	must(sockets[fd].used && header->msg_iovlen == 1, "a receive in parts");
	if (flags & MSG_ERRQUEUE) {
		/* What was sent comes back in an Ethernet frame, as from a driver. */
		must(sockets[fd].sent, "a look for a timestamp that was not reported");
		length = sockets[fd].sent + 42;
		memcpy(frame + 12, "\x08\x00\x45", 3);
		frame[14 + 9] = IPPROTO_UDP;
		frame[34 + 4] = (sockets[fd].sent + 8) >> 8;
		frame[34 + 5] = sockets[fd].sent + 8;
		memcpy(frame + 42, sockets[fd].last, sockets[fd].sent);
		sockets[fd].sent = 0;
		used = add(header, used, SOL_SOCKET, SCM_TIMESTAMPING, stamps, sizeof stamps);
		used = add(header, used, SOL_IP, IP_RECVERR, &error, sizeof error);
	} else {
		m = arrived(fd, 0);
		must(m != NULL, "a receive that was not reported");
		length = m->length;
		data = m->data;
		from.sin_addr.s_addr = htonl(0x0a000001 + m->from);
		from.sin_port = htons(m->from_port);
		info.ipi_spec_dst.s_addr = info.ipi_addr.s_addr = htonl(0x0a000001 + node);
		if (sockets[fd].info)
			used = add(header, used, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
		if (sockets[fd].stamps & SOF_TIMESTAMPING_RX_SOFTWARE)
			used = add(header, used, SOL_SOCKET, SCM_TIMESTAMPING, stamps, sizeof stamps);
		memcpy(header->msg_name, &from, sizeof from);
		header->msg_namelen = sizeof from;
	}
	must(length <= header->msg_iov[0].iov_len, "too little room for a datagram");
	memcpy(header->msg_iov[0].iov_base, data, length);
	header->msg_controllen = used;
	if (m)
		__atomic_store_n(&m->used, 0, __ATOMIC_SEQ_CST);
	return length;
}

/* ---- the real-time clock ---- */

int open(const char *path, int flags, ...)
{
	va_list rest;
	int mode;

	va_start(rest, flags);
	mode = flags & O_CREAT ? va_arg(rest, int) : 0;
	va_end(rest);
	if (!world || strcmp(path, "/dev/rtc"))
		return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (!getenv("SIMULATED_RTC")) {
		errno = ENOENT;
		return -1;
	}
	must(rtc < 0, "the real-time clock is opened twice");
	rtc_ahead = atof(getenv("SIMULATED_RTC")) * SECOND;
	return rtc = placeholder();
}

int ioctl(int fd, unsigned long request, ...)
{
	time_t second = (world ? world->now + rtc_ahead : 0) / SECOND;
	va_list rest;
	void *argument;

	va_start(rest, request);
	argument = va_arg(rest, void *);
	va_end(rest);
	if (rtc < 0 || fd != rtc)
		return syscall(SYS_ioctl, fd, request, argument);
	switch (request) {
	case RTC_UIE_ON:
		rtc_at = (second + 1) * SECOND - rtc_ahead;
		return 0;
	case RTC_UIE_OFF:
		rtc_at = NEVER;
		return 0;
	case RTC_RD_TIME:
	case RTC_SET_TIME: {
		/* Both have the same fields in front. */
		struct rtc_time *fields = argument;
		struct tm broken;

		gmtime_r(&second, &broken);
		if (request == RTC_RD_TIME) {
			memcpy(fields, &broken, sizeof *fields);
			return 0;
		}
		memcpy(&broken, fields, sizeof *fields);
		rtc_ahead = timegm(&broken) * SECOND + SECOND / 2 - world->now;
		return 0;
	}
	}
	errno = ENOTTY;
	return -1;
}

ssize_t read(int fd, void *buffer, size_t length)
{
	if (rtc < 0 || fd != rtc)
		return syscall(SYS_read, fd, buffer, length);
	must(length == sizeof(unsigned long) && rtc_at <= world->now, "a read of an interrupt that was not reported");
	*(unsigned long *)buffer = 1 << 8 | RTC_UF | RTC_IRQF;
	rtc_at += SECOND;
	return length;
}

/* ---- waiting ---- */

int timerfd_create(int clock, int flags)
{
	must(clock == CLOCK_MONOTONIC && !(flags & ~TFD_NONBLOCK) && timer < 0, "a second timer, or one of another kind");
	return timer = placeholder();
}

int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old)
{
	int64_t at = value->it_value.tv_sec * SECOND + value->it_value.tv_nsec;

	must(fd == timer && flags == TFD_TIMER_ABSTIME && !old, "a timer of another kind");
	timer_at = at ? at : NEVER;
	return 0;
}

/* When the timer rings, true time. */
static int64_t timer_true(void)
{
	int64_t at;

	if (timer_at == NEVER)
		return NEVER;
	at = base + (timer_at - elapsed) / rate();
	while (monotonic_at(at) < timer_at)
		at++;
	return at < world->now ? world->now : at;
}

/* Moves the time to the next thing that anybody waits for, and notes the error of the second node's clock. */
static void move(void)
{
	int64_t next = world->end;

	if (world->present < NODES)
		return;
	for (int i = 0; i < NODES; i++) {
		if (!world->gone[i] && !world->next[i])
			return;
		if (!world->gone[i] && world->next[i] < next)
			next = world->next[i];
	}
	if (next > world->now)
		world->now = next;
	memset(world->next, 0, sizeof world->next);
	pthread_cond_broadcast(&world->moved);
}

static void trace(int64_t from)
{
	for (int64_t second = from / SECOND + 1; node == 1 && second * SECOND <= world->now; second++) {
		int64_t at = second - START / SECOND;

		if (at < TRACE) {
			world->trace[at] = error_at(second * SECOND) / SECOND;
			world->traced = at + 1;
		}
	}
}

/* Loses what has arrived at sockets that are closed by now. */
static void lose(void)
{
	for (int i = 0; i < MESSAGES; i++) {
		struct message *m = &world->messages[i];
		int open = !(m->used && m->to == node && m->at <= world->now);

		for (int fd = 0; fd < FDS && !open; fd++)
			open = sockets[fd].used && sockets[fd].port == m->to_port;
		m->used &= open;
	}
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	int64_t next, from;
	nfds_t i;

	if (!world || timeout == 0) /* the runtime's, as it starts */
		return syscall(SYS_poll, fds, count, timeout);
	must(timeout == -1 && timer >= 0, "a wait of another kind");
	for (i = 0; i < count; i++)
		fds[i].revents = 0;
	pthread_mutex_lock(&world->lock);
	for (;;) {
		lose();
		next = timer_true();
		if (keeper_ends > world->now && keeper_ends < next)
			next = keeper_ends;
		else if (keeper_ends != NEVER && keeper_ends <= world->now)
			unlink(getenv("SIMULATED_KEEPER"));
		for (i = 0; i < count; i++) {
			struct message *m = NULL;

			if (fds[i].fd == rtc) {
				fds[i].revents = rtc_at <= world->now ? POLLIN : 0;
				next = rtc_at < next ? rtc_at : next;
				if (fds[i].revents)
					goto out;
				continue;
			}
			must(fds[i].fd == timer || sockets[fds[i].fd].used, "a wait for what is not simulated");
			if (fds[i].fd != timer)
				m = arrived(fds[i].fd, 1);
			if (fds[i].fd != timer && fds[i].events & POLLPRI && sockets[fds[i].fd].sent)
				fds[i].revents = POLLPRI;
			else if (m && m->at <= world->now)
				fds[i].revents = POLLIN;
			else if (m && m->at < next)
				next = m->at;
			if (fds[i].revents)
				goto out;
		}
		if (next <= world->now) {
			for (i = 0; fds[i].fd != timer; i++)
				;
			fds[i].revents = POLLIN;
			goto out;
		}
		if (world->now >= world->end) {
			pthread_mutex_unlock(&world->lock);
			raise(SIGTERM);
			errno = EINTR;
			return -1;
		}
		world->next[node] = next;
		from = world->now;
		move();
		while (world->next[node])
			pthread_cond_wait(&world->moved, &world->lock);
		trace(from);
	}
out:
	world->next[node] = 0;
	pthread_mutex_unlock(&world->lock);
	return 1;
}
