/* SPDX-License-Identifier: Apache-2.0 */
/* net_listener.c - unit tests of listening sockets, acceptors and the resolver. */
#include "run.h"
#include <check.h>
#include <core/net/listener.h>
#include <core/net/resolve.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static struct loop *loop;

static void
setup(void)
{
	ck_assert_int_eq(loop_new(&loop, NULL), 0);
}

static void
teardown(void)
{
	loop_free(&loop);
}

static struct address
parse(const char *text)
{
	struct address address;
	struct pn_error err;

	ck_assert_msg(address_parse(text, 0, &address, &err) == 0, "%s", err.text);
	return address;
}

/* ---- listeners ------------------------------------------------------------------------------- */

static int
bind_port(const char *text, uint16_t *ret_port)
{
	struct address address = parse(text), bound = { .len = sizeof(bound.sa) };
	struct pn_error err;
	int fd = -1;

	ck_assert_msg(listener_bind(&address, &fd, &err) == 0, "%s", err.text);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&bound.sa, &bound.len), 0);
	*ret_port = address_port(&bound);
	return fd;
}

static int
try_connect(const char *host, uint16_t port)
{
	struct address address;
	int fd;

	ck_assert_int_eq(address_parse(host, port, &address, NULL), 0);
	fd = socket(address.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&address.sa, address.len) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool
has_ip6(void)
{
	struct address address = parse("[::1]:0");
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address.sa, address.len) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

struct taker {
	struct acceptor acceptor;
	int taken, most;
	char peer[ADDRESS_TEXT];
};

static void
take(struct acceptor *acceptor, int fd, const struct address *peer)
{
	struct taker *taker = (struct taker *)(void *)acceptor;
	int on = 0;
	socklen_t len = sizeof(on);

	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	if (peer->sa.ss_family != AF_UNIX) {
		ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
		ck_assert_int_ne(on, 0);
	}
	address_host(peer, taker->peer);
	close(fd);
	if (++taker->taken == taker->most) {
		acceptor_stop(acceptor);
		loop_stop(acceptor->loop);
	}
}

static const struct {
	const char *bind, *connect, *peer;
} spots[] = {
	{ "127.0.0.1:0", "127.0.0.1", "127.0.0.1" },
	{ "*:0", "127.0.0.1", "127.0.0.1" },
	{ "*:0", "::1", "::1" },
	{ "[::1]:0", "::1", "::1" },
};

START_TEST(listener_takes)
{
	struct taker taker = { .most = 1 };
	uint16_t port;
	int fd, client;

	if (strchr(spots[_i].connect, ':') && !has_ip6())
		return;
	fd = bind_port(spots[_i].bind, &port);
	client = try_connect(spots[_i].connect, port);
	ck_assert_int_ge(client, 0);
	ck_assert_int_eq(acceptor_start(&taker.acceptor, loop, fd, take), 0);
	loop_run(loop);
	ck_assert_str_eq(taker.peer, spots[_i].peer);
	close(client);
	close(fd);
}
END_TEST

START_TEST(listener_ip6_alone)
{
	uint16_t port;
	int fd;

	if (!has_ip6())
		return;
	fd = bind_port("[::1]:0", &port);
	ck_assert_int_eq(try_connect("127.0.0.1", port), -1);
	close(fd);
}
END_TEST

START_TEST(listener_refuses)
{
	struct address address = { .len = sizeof(address.sa) };
	struct pn_error err = { 0 };
	uint16_t port;
	int fd = bind_port("127.0.0.1:0", &port), second = -1;

	getsockname(fd, (struct sockaddr *)&address.sa, &address.len);
	ck_assert_int_eq(listener_bind(&address, &second, &err), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(err.text, "cannot listen on 127.0.0.1:"));
	address = parse("192.0.2.1:0"); /* RFC 5737: nobody's */
	ck_assert_int_eq(listener_bind(&address, &second, &err), -EADDRNOTAVAIL);
	address = parse("unix:/nonexistent/x");
	ck_assert_int_eq(listener_bind(&address, &second, &err), -ENOENT);
	ck_assert_int_eq(second, -1);
	close(fd);
}
END_TEST

/* A socket left behind is replaced; one in use, and a file that is no socket, are not. */
START_TEST(listener_on_a_path)
{
	char folder[] = "/tmp/postern-test-XXXXXX", text[ADDRESS_TEXT];
	struct taker taker = { .most = 1 };
	struct address address;
	struct stat st;
	int fd = -1, second = -1, file;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(text, sizeof(text), "unix:%s/socket", folder);
	address = parse(text);
	ck_assert_int_eq(listener_bind(&address, &fd, NULL), 0);
	ck_assert_int_eq(stat(text + 5, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0666);
	ck_assert_int_eq(listener_bind(&address, &second, NULL), -EADDRINUSE);
	close(fd);
	ck_assert_int_eq(listener_bind(&address, &fd, NULL), 0);
	second = try_connect(text, 0);
	ck_assert_int_ge(second, 0);
	ck_assert_int_eq(acceptor_start(&taker.acceptor, loop, fd, take), 0);
	loop_run(loop);
	ck_assert_str_eq(taker.peer, "local");
	close(second);
	close(fd);
	unlink(text + 5);
	file = open(text + 5, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_eq(listener_bind(&address, &fd, NULL), -EADDRINUSE);
	close(file);
	unlink(text + 5);
	rmdir(folder);
}
END_TEST

/* Out of descriptors: one line in the log per pause, and the connections are taken afterwards. */
START_TEST(acceptor_survives_shortage)
{
	struct taker taker = { .most = 3 };
	struct rlimit old, low;
	int clients[3], log[2], err_fd = dup(STDERR_FILENO), next;
	char text[1000];
	uint16_t port;
	int fd = bind_port("127.0.0.1:0", &port);
	ssize_t len;

	ck_assert_int_eq(pipe2(log, O_NONBLOCK), 0);
	for (int i = 0; i < 3; i++)
		clients[i] = try_connect("127.0.0.1", port);
	ck_assert_int_eq(acceptor_start(&taker.acceptor, loop, fd, take), 0);
	next = dup(0);
	close(next);
	getrlimit(RLIMIT_NOFILE, &old);
	low = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = old.rlim_max };
	dup2(log[1], STDERR_FILENO);
	setrlimit(RLIMIT_NOFILE, &low);
	loop_stop(loop);
	loop_run(loop); /* one turn */
	setrlimit(RLIMIT_NOFILE, &old);
	dup2(err_fd, STDERR_FILENO);
	ck_assert_int_eq(taker.taken, 0);
	loop_run(loop);
	ck_assert_int_eq(taker.taken, 3);
	len = read(log[0], text, sizeof(text) - 1);
	ck_assert_int_gt(len, 0);
	text[len] = '\0';
	ck_assert_ptr_nonnull(strstr(text, "accept-paused error=\"Too many open files\""));
	ck_assert_ptr_eq(strchr(text, '\n'), text + len - 1);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	close(fd);
}
END_TEST

#define SHARED_CLIENTS 200
static atomic_int shared_taken;
static struct loop *loops[2];

static void
take_shared(struct acceptor *acceptor, int fd, const struct address *peer)
{
	close(fd);
	if (atomic_fetch_add(&shared_taken, 1) + 1 == SHARED_CLIENTS) {
		loop_stop(loops[0]);
		loop_stop(loops[1]);
	}
}

static void *
run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

/* Two loops share a socket: each connection is taken once, none is forgotten. */
START_TEST(acceptor_shared_by_loops)
{
	struct acceptor acceptors[2];
	pthread_t threads[2];
	uint16_t port;
	int fd = bind_port("127.0.0.1:0", &port);

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(loop_new(&loops[i], NULL), 0);
		ck_assert_int_eq(acceptor_start(&acceptors[i], loops[i], fd, take_shared), 0);
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run_loop, loops[i]), 0);
	}
	for (int i = 0; i < SHARED_CLIENTS; i++) {
		int client = try_connect("127.0.0.1", port);

		ck_assert_int_ge(client, 0);
		close(client);
	}
	/* The one that took the last stops both: neither goes before both threads have ended. */
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 2; i++) {
		acceptor_stop(&acceptors[i]);
		loop_free(&loops[i]);
	}
	ck_assert_int_eq(atomic_load(&shared_taken), SHARED_CLIENTS);
	close(fd);
}
END_TEST

/* ---- names ----------------------------------------------------------------------------------- */

static int answers, last_r;

static void
answered(struct resolve_request *request, int r)
{
	answers++;
	last_r = r;
	loop_stop(loop);
}

static const struct {
	const char *host, *addresses;
} at_once[] = {
	{ "localhost", "127.0.0.1:25 [::1]:25 " },
	{ "LOCALHOST", "127.0.0.1:25 [::1]:25 " },
	{ "192.0.2.1", "192.0.2.1:25 " },
	{ "[192.0.2.1]", "192.0.2.1:25 " },
	{ "2001:db8::1", "[2001:db8::1]:25 " },
	{ "[2001:db8::1]", "[2001:db8::1]:25 " },
	{ "[IPv6:2001:db8::1]", "[2001:db8::1]:25 " },
};

START_TEST(resolve_at_once)
{
	struct resolve_request request = { .port = 25, .done = answered };
	struct resolver *resolver;
	char text[500] = "", one[ADDRESS_TEXT];

	ck_assert_int_eq(resolver_new(NULL, &resolver), 0);
	strcpy(request.host, at_once[_i].host);
	answers = 0;
	resolve_start(resolver, loop, &request);
	ck_assert_int_eq(answers, 1);
	ck_assert_int_eq(last_r, 0);
	for (size_t i = 0; i < request.count; i++) {
		address_format(&request.addresses[i], one);
		strcat(text, one);
		strcat(text, " ");
	}
	ck_assert_str_eq(text, at_once[_i].addresses);
	resolver_free(&resolver);
}
END_TEST

/* RFC 2606: these do not exist; the second time the cache says so. */
static const char *const nowhere[] = { "postern.invalid", "*", "unix:/run/x", "", "a..b", "[x]" };

START_TEST(resolve_not)
{
	struct resolve_request request = { .port = 25, .done = answered };
	struct resolver *resolver;
	struct jobs *jobs;

	ck_assert_int_eq(jobs_new(1, &jobs, NULL), 0);
	ck_assert_int_eq(resolver_new(jobs, &resolver), 0);
	strcpy(request.host, nowhere[_i]);
	answers = 0;
	resolve_start(resolver, loop, &request);
	loop_run(loop);
	ck_assert_int_eq(answers, 1);
	ck_assert_int_lt(last_r, 0);
	resolve_start(resolver, loop, &request);
	ck_assert_int_eq(answers, 2);
	ck_assert_int_lt(last_r, 0);
	ck_assert_uint_eq(request.count, 0);
	jobs_free(&jobs);
	resolver_free(&resolver);
}
END_TEST

/* A name out of /etc/hosts, by way of a thread; then by the cache, with another port. */
START_TEST(resolve_by_a_thread)
{
	struct resolve_request request = { .port = 25, .done = answered };
	struct resolver *resolver;
	struct jobs *jobs;

	ck_assert_int_eq(gethostname(request.host, sizeof(request.host) - 1), 0);
	ck_assert_int_eq(jobs_new(2, &jobs, NULL), 0);
	ck_assert_int_eq(resolver_new(jobs, &resolver), 0);
	answers = 0;
	resolve_start(resolver, loop, &request);
	if (answers == 0)
		loop_run(loop);
	ck_assert_int_eq(answers, 1);
	for (int i = 0; last_r == 0 && i < 2; i++) {
		ck_assert_uint_gt(request.count, 0);
		ck_assert_uint_eq(address_port(&request.addresses[0]), request.port);
		request.port = 587;
		resolve_start(resolver, loop, &request);
		ck_assert_int_eq(answers, i + 2);
	}
	jobs_free(&jobs);
	resolver_free(&resolver);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net_listener");
	TCase *tc = tcase_create("net_listener");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, listener_takes, 0, COUNT(spots));
	tcase_add_test(tc, listener_ip6_alone);
	tcase_add_test(tc, listener_refuses);
	tcase_add_test(tc, listener_on_a_path);
	tcase_add_test(tc, acceptor_survives_shortage);
	tcase_add_test(tc, acceptor_shared_by_loops);
	tcase_add_loop_test(tc, resolve_at_once, 0, COUNT(at_once));
	tcase_add_loop_test(tc, resolve_not, 0, COUNT(nowhere));
	tcase_add_test(tc, resolve_by_a_thread);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
