/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.c - a fast SMTP server that accepts everything and throws it away: the next hop of the
 * benchmark and of the crash tests.
 *
 * Prints {"port": N} when it listens. Takes lines on stdin: "report" prints the counters as one
 * line of JSON, "reset" zeroes them, "expect N" prints them when N messages have come. SIGUSR1 is
 * "report"; SIGTERM or the end of stdin is a last report. One thread; must never touch a disk
 * except for the file of ids.
 */
#include "sink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct connection {
	int fd;
	bool waits_out;
	double resume; /* 0: not delayed */
	struct connection *next_delayed;
	struct talk talk;
};

struct server {
	struct sink sink;
	int epoll, listener, signals;
	struct connection *delayed, *dead;
	uint64_t expect; /* 0: nothing expected */
	bool stop;
	char command[128];
	size_t command_len;
};

double
sink_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
die(const char *what)
{
	fprintf(stderr, "sink: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
report(struct server *server)
{
	const struct sink *sink = &server->sink;

	printf("{\"messages\": %llu, \"recipients\": %llu, \"bytes\": %llu, \"connections\": %llu, "
	       "\"faulted\": %llu, \"first\": %.6f, \"last\": %.6f}\n",
	    (unsigned long long)sink->messages, (unsigned long long)sink->recipients,
	    (unsigned long long)sink->bytes, (unsigned long long)sink->connections,
	    (unsigned long long)sink->faulted, sink->first, sink->last);
	if (sink->ids)
		fflush(sink->ids);
	fflush(stdout);
}

static void
watch(struct server *server, int fd, uint32_t events, void *what)
{
	struct epoll_event event = { .events = events, .data.ptr = what };

	if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

/* A closed connection lives until the events in hand are through: one may be for it. */
static void
hang_up(struct server *server, struct connection *conn)
{
	close(conn->fd);
	conn->fd = -1;
	conn->next_delayed = server->dead;
	server->dead = conn;
}

static void
bury(struct server *server)
{
	while (server->dead) {
		struct connection *conn = server->dead;

		server->dead = conn->next_delayed;
		free(conn->talk.head);
		free(conn);
	}
}

static void
rewatch(struct server *server, struct connection *conn, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = conn };

	epoll_ctl(server->epoll, EPOLL_CTL_MOD, conn->fd, &event);
}

/* False if the connection is gone. */
static bool
flush_output(struct server *server, struct connection *conn)
{
	struct talk *talk = &conn->talk;

	while (talk->out_len > 0) {
		ssize_t n = send(conn->fd, talk->out, talk->out_len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			hang_up(server, conn);
			return false;
		}
		talk->out_len -= (size_t)n;
		memmove(talk->out, talk->out + n, talk->out_len);
	}
	if ((talk->out_len > 0) != conn->waits_out) {
		conn->waits_out = talk->out_len > 0;
		rewatch(server, conn, conn->waits_out ? EPOLLOUT : EPOLLIN);
	}
	if (talk->close && talk->out_len == 0) {
		hang_up(server, conn);
		return false;
	}
	return true;
}

static void
delay(struct server *server, struct connection *conn)
{
	conn->resume = sink_now() + conn->talk.delay_ms / 1000.0;
	conn->next_delayed = server->delayed;
	server->delayed = conn;
	rewatch(server, conn, 0);
}

/* Converses with what is in the buffer until there is nothing to do. */
static void
advance(struct server *server, struct connection *conn)
{
	size_t before;

	do {
		before = conn->talk.in_len;
		talk_run(&conn->talk, &server->sink);
		if (conn->talk.delay_ms > 0) {
			delay(server, conn); /* what it would answer waits with it */
			return;
		}
		if (!flush_output(server, conn) || conn->waits_out)
			return;
	} while (conn->talk.in_len > 0 && conn->talk.in_len < before);
}

static void
on_connection(struct server *server, struct connection *conn, uint32_t events)
{
	struct talk *talk = &conn->talk;
	ssize_t n;

	if (conn->fd < 0 || conn->resume > 0)
		return;
	if (events & EPOLLOUT) {
		if (flush_output(server, conn) && !conn->waits_out)
			advance(server, conn);
		return;
	}
	n = recv(conn->fd, talk->in + talk->in_len, sizeof(talk->in) - talk->in_len, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		hang_up(server, conn);
		return;
	}
	talk->in_len += (size_t)n;
	advance(server, conn);
}

static void
on_accept(struct server *server)
{
	struct connection *conn;
	int fd, on = 1;

	while ((fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		conn = malloc(sizeof(*conn));
		if (!conn)
			die("malloc");
		conn->fd = fd;
		conn->waits_out = false;
		conn->resume = 0;
		memset(&conn->talk, 0, offsetof(struct talk, in));
		if (server->sink.ids && !(conn->talk.head = malloc(TALK_HEAD)))
			die("malloc");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		watch(server, fd, EPOLLIN, conn);
		talk_open(&conn->talk, &server->sink);
		advance(server, conn);
	}
}

/* Lets go on whose delay is over; ms until the next one is, -1 without any. */
static int
run_delayed(struct server *server)
{
	struct connection **link = &server->delayed, *conn, *ready = NULL;
	double now = sink_now(), next = 0;

	while ((conn = *link)) {
		if (conn->resume <= now) {
			*link = conn->next_delayed;
			conn->next_delayed = ready;
			ready = conn;
			continue;
		}
		if (next == 0 || conn->resume < next)
			next = conn->resume;
		link = &conn->next_delayed;
	}
	while ((conn = ready)) {
		ready = conn->next_delayed;
		conn->resume = 0;
		conn->talk.delay_ms = 0;
		rewatch(server, conn, EPOLLIN);
		if (flush_output(server, conn) && !conn->waits_out)
			advance(server, conn);
	}
	if (server->delayed && next == 0)
		return 0; /* somebody was delayed again just now */
	return next == 0 ? -1 : (int)((next - now) * 1000) + 1;
}

static void
on_command(struct server *server, const char *line)
{
	struct sink *sink = &server->sink;

	if (strcmp(line, "report") == 0) {
		report(server);
	} else if (strcmp(line, "reset") == 0) {
		sink->messages = sink->recipients = sink->bytes = sink->connections = 0;
		sink->faulted = 0;
		sink->first = sink->last = 0;
		server->expect = 0;
	} else if (strncmp(line, "expect ", 7) == 0) {
		server->expect = strtoull(line + 7, NULL, 10);
	} else {
		fprintf(stderr, "sink: unknown command: %s\n", line);
	}
}

static void
on_stdin(struct server *server)
{
	size_t room = sizeof(server->command) - 1 - server->command_len;
	ssize_t n = read(STDIN_FILENO, server->command + server->command_len, room);
	char *lf;

	if (n <= 0) {
		server->stop = true;
		return;
	}
	server->command_len += (size_t)n;
	server->command[server->command_len] = '\0';
	while ((lf = strchr(server->command, '\n'))) {
		*lf = '\0';
		on_command(server, server->command);
		server->command_len -= (size_t)(lf + 1 - server->command);
		memmove(server->command, lf + 1, server->command_len + 1);
	}
	if (server->command_len == sizeof(server->command) - 1)
		server->command_len = 0;
}

static void
on_signal(struct server *server)
{
	struct signalfd_siginfo info;

	if (read(server->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1)
		report(server);
	else
		server->stop = true;
}

static void
serve(struct server *server)
{
	struct epoll_event events[256];

	while (!server->stop) {
		int n, timeout = run_delayed(server);

		n = epoll_wait(server->epoll, events, 256, timeout);
		for (int i = 0; i < n; i++) {
			void *what = events[i].data.ptr;

			if (what == &server->listener)
				on_accept(server);
			else if (what == &server->signals)
				on_signal(server);
			else if (what == server->command)
				on_stdin(server);
			else
				on_connection(server, what, events[i].events);
		}
		bury(server);
		if (server->expect && server->sink.messages >= server->expect) {
			server->expect = 0;
			report(server);
		}
	}
	report(server);
}

static void
open_listener(struct server *server, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	socklen_t len = sizeof(address);
	int on = 1;

	address.sin_addr.s_addr = htonl(server->sink.anywhere ? INADDR_ANY : INADDR_LOOPBACK);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (server->listener < 0)
		die("socket");
	setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(server->listener, (struct sockaddr *)&address, len) < 0)
		die("bind");
	if (listen(server->listener, 4096) < 0)
		die("listen");
	getsockname(server->listener, (struct sockaddr *)&address, &len);
	printf("{\"port\": %d}\n", ntohs(address.sin_port));
	fflush(stdout);
}

static void
open_events(struct server *server)
{
	struct epoll_event event = { .events = EPOLLIN };
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	server->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server->signals < 0 || server->epoll < 0)
		die("epoll");
	watch(server, server->listener, EPOLLIN, &server->listener);
	watch(server, server->signals, EPOLLIN, &server->signals);
	event.data.ptr = server->command;
	/* A file or /dev/null cannot be watched, and says nothing: only signals end us then. */
	if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0 && errno != EPERM)
		die("stdin");
}

/* STEP:EVERY:ACTION, for example dot:7:451, mail:5:close, rcpt:1:delay200 */
static bool
parse_fault(struct sink *sink, char *text)
{
	static const char *const steps[] = { "connect", "ehlo", "mail", "rcpt", "data", "dot" };
	struct sink_fault *fault = &sink->faults[sink->fault_count];
	char *step = strtok(text, ":"), *every = strtok(NULL, ":"), *action = strtok(NULL, ":");

	if (!action || sink->fault_count == SINK_FAULTS_MOST)
		return false;
	for (fault->step = 0; fault->step < STEP_COUNT; fault->step++)
		if (strcmp(step, steps[fault->step]) == 0)
			break;
	fault->every = (unsigned)strtoul(every, NULL, 10);
	if (strcmp(action, "close") == 0) {
		fault->action = ACTION_CLOSE;
	} else if (strncmp(action, "delay", 5) == 0) {
		fault->action = ACTION_DELAY;
		fault->value = (unsigned)strtoul(action + 5, NULL, 10);
	} else {
		fault->action = ACTION_REPLY;
		fault->value = (unsigned)strtoul(action, NULL, 10);
		if (fault->value < 400 || fault->value > 599)
			return false;
	}
	sink->fault_count++;
	return fault->step < STEP_COUNT && fault->every > 0;
}

static void
usage(void)
{
	fputs("usage: sink [--port N] [--anywhere] [--no-pipelining] [--no-chunking]\n"
	      "            [--ids FILE [--id-header NAME]] [--fault STEP:EVERY:ACTION]...\n"
	      "STEP: connect ehlo mail rcpt data dot; ACTION: 4xx, 5xx, close, delayMS\n",
	    stderr);
	exit(2);
}

static int
parse_options(struct sink *sink, int argc, char **argv)
{
	static const struct option options[] = { { "port", 1, NULL, 'p' },
		{ "anywhere", 0, NULL, 'a' }, { "no-pipelining", 0, NULL, 'P' },
		{ "no-chunking", 0, NULL, 'C' }, { "ids", 1, NULL, 'i' },
		{ "id-header", 1, NULL, 'h' }, { "fault", 1, NULL, 'f' }, { NULL, 0, NULL, 0 } };
	int c, port = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'p')
			port = atoi(optarg);
		else if (c == 'a')
			sink->anywhere = true;
		else if (c == 'P')
			sink->pipelining = false;
		else if (c == 'C')
			sink->chunking = false;
		else if (c == 'h')
			sink->id_header = optarg;
		else if (c == 'i' && !(sink->ids = fopen(optarg, "we")))
			die(optarg);
		else if (c == '?' || (c == 'f' && !parse_fault(sink, optarg)))
			usage();
	}
	if (optind != argc)
		usage();
	return port;
}

int
main(int argc, char **argv)
{
	static struct server server = {
		.sink = { .pipelining = true, .chunking = true, .id_header = "X-Bench-Id" }
	};
	int port = parse_options(&server.sink, argc, argv);

	open_listener(&server, port);
	open_events(&server);
	serve(&server);
	return 0;
}
