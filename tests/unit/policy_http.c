/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_http.c - unit tests of HTTP for modules, against a server of a few lines; real ones and
 * TLS are in tests/system/test_webhook.py.
 */
#include "policy_world.h"
#include "run.h"
#include <arpa/inet.h>
#include <core/base/clock.h>
#include <core/client/clients.h>
#include <errno.h>
#include <postern/module.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Answers each request with `answer`. */
static struct server {
	pthread_mutex_t lock;
	pthread_t thread;
	int fd, connections;
	const char *answer; /* NULL: never */
	char request[4096]; /* the last */
} server;

static void
answer_with(const char *answer)
{
	pthread_mutex_lock(&server.lock);
	server.answer = answer;
	pthread_mutex_unlock(&server.lock);
}

static int
connections(void)
{
	int count;

	pthread_mutex_lock(&server.lock);
	count = server.connections;
	pthread_mutex_unlock(&server.lock);
	return count;
}

/* A copy of the last request, in a static buffer. */
static const char *
request(void)
{
	static char text[sizeof(server.request)];

	pthread_mutex_lock(&server.lock);
	memcpy(text, server.request, sizeof(text));
	pthread_mutex_unlock(&server.lock);
	return text;
}

static bool
whole(const char *text, size_t len)
{
	const char *body = strstr(text, "\r\n\r\n");
	const char *length = strstr(text, "Content-Length: ");

	return body && (size_t)(body + 4 - text) + (length ? (size_t)atoi(length + 16) : 0) <= len;
}

static bool
answer_one(int fd)
{
	char text[sizeof(server.request)] = "";
	const char *answer;
	size_t len = 0;

	while (!whole(text, len)) {
		ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, 0);

		if (n <= 0)
			return false;
		len += (size_t)n;
		text[len] = '\0';
	}
	pthread_mutex_lock(&server.lock);
	memcpy(server.request, text, sizeof(text));
	answer = server.answer;
	pthread_mutex_unlock(&server.lock);
	return !answer || send(fd, answer, strlen(answer), MSG_NOSIGNAL) > 0;
}

static void *
serve(void *arg)
{
	int fd;

	while ((fd = accept(server.fd, NULL, NULL)) >= 0) {
		pthread_mutex_lock(&server.lock);
		server.connections++;
		pthread_mutex_unlock(&server.lock);
		while (answer_one(fd))
			continue;
		close(fd);
	}
	return NULL;
}

static struct world world;
static struct http_client *client;
static struct arena arena;
static char url[100];

static void
setup(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);

	server = (struct server){ .fd = socket(AF_INET, SOCK_STREAM, 0) };
	pthread_mutex_init(&server.lock, NULL);
	ck_assert_int_eq(bind(server.fd, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(listen(server.fd, 16), 0);
	getsockname(server.fd, (struct sockaddr *)&sa, &len);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/ask", ntohs(sa.sin_port));
	ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
	ck_assert_int_eq(http_client_new(&client), 0);
	world_open(&world);
}

static void
teardown(void)
{
	world_close(&world);
	http_client_free(&client);
	arena_free(&arena);
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
}

static struct pn_http_endpoint
endpoint(void)
{
	return (struct pn_http_endpoint){ .url = url, .timeout = 5000, .max_response = 100 };
}

static int
ask(const struct http_order *order, struct pn_http_response *ret, struct pn_error *err)
{
	struct http_order mine = *order;

	if (!mine.timeout_ms)
		mine.timeout_ms = 5000;
	return http_client_do(client, &mine, &arena, ret, err);
}

START_TEST(test_request_and_response)
{
	static const struct pn_http_field fields[] = { { "X-One", "1", NULL },
		{ "X-Empty", "", NULL }, { NULL, NULL, NULL } };
	struct pn_http_endpoint to = endpoint();
	struct pn_http_response response;
	struct pn_slice value;

	answer_with("HTTP/1.1 418 Teapot\r\nContent-Length: 3\r\nx-TWO: \t two \r\n\r\nabc");
	ck_assert_int_eq(ask(&(struct http_order){ .endpoint = &to,
				 .method = "PUT",
				 .path = "?x=1",
				 .fields = fields,
				 .body = pn_slice_of("body") },
			     &response, NULL),
	    0);
	ck_assert_int_eq(pn_http_status(&response), 418);
	ck_assert(pn_slice_equals(pn_http_body(&response), pn_slice_of("abc")));
	ck_assert(pn_http_field(&response, "X-Two", &value));
	ck_assert(pn_slice_equals(value, pn_slice_of("two")));
	ck_assert(!pn_http_field(&response, "X-Not", &value));
	ck_assert(strncmp(request(), "PUT /ask?x=1 HTTP/1.1\r\n", 23) == 0);
	ck_assert_ptr_nonnull(strstr(request(), "\r\nX-One: 1\r\n"));
	ck_assert_ptr_nonnull(strstr(request(), "\r\nX-Empty:\r\n"));
	ck_assert_ptr_null(strstr(request(), "Expect"));
	ck_assert_ptr_null(strstr(request(), "Authorization"));
}
END_TEST

START_TEST(test_interim_answer)
{
	struct pn_http_endpoint to = endpoint();
	struct pn_http_response response;
	struct pn_slice value;

	answer_with("HTTP/1.1 103 Early\r\nX-Not: this\r\n\r\n"
		    "HTTP/1.1 204 None\r\nX-Two: 2\r\n\r\n");
	ck_assert_int_eq(ask(&(struct http_order){ .endpoint = &to }, &response, NULL), 0);
	ck_assert_int_eq(pn_http_status(&response), 204);
	ck_assert(!pn_http_field(&response, "X-Not", &value));
	ck_assert(pn_http_field(&response, "X-Two", &value));
	ck_assert_uint_eq(pn_http_body(&response).len, 0);
}
END_TEST

START_TEST(test_connections_are_kept)
{
	struct pn_http_endpoint to = endpoint();
	struct pn_http_response response;

	answer_with("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(ask(&(struct http_order){ .endpoint = &to }, &response, NULL), 0);
	ck_assert_int_eq(connections(), 1);
}
END_TEST

START_TEST(test_nobody_is_followed)
{
	struct pn_http_endpoint to = endpoint();
	struct pn_http_response response;

	answer_with("HTTP/1.1 302 There\r\nLocation: file:///etc/passwd\r\n"
		    "Content-Length: 0\r\n\r\n");
	ck_assert_int_eq(ask(&(struct http_order){ .endpoint = &to }, &response, NULL), 0);
	ck_assert_int_eq(pn_http_status(&response), 302);
}
END_TEST

START_TEST(test_too_large)
{
	struct pn_http_endpoint to = endpoint();
	struct pn_http_response response;
	struct pn_error err;

	to.max_response = 2;
	answer_with("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	ck_assert_int_eq(ask(&(struct http_order){ .endpoint = &to }, &response, &err), -E2BIG);
	answer_with("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		    "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
	ck_assert_int_eq(ask(&(struct http_order){ .endpoint = &to }, &response, &err), -E2BIG);
	to.max_response = 3;
	ck_assert_int_eq(ask(&(struct http_order){ .endpoint = &to }, &response, &err), 0);
}
END_TEST

START_TEST(test_what_cannot_be_asked)
{
	static const struct pn_http_field broken[][2] = { { { "X-A", "1\r\nX-B: 2", NULL } },
		{ { "X A", "1", NULL } }, { { "", "1", NULL } } };
	static const char *const urls[] = { "file:///etc/passwd", "ftp://x/", "127.0.0.1", "",
		"http://user:secret@127.0.0.1/", "http://", "https://[::1/", "HTTP://x/" };
	static const char *const paths[] = { ".partner.example/", ":1/", "0/",
		"@partner.example/" };
	struct pn_http_endpoint to = endpoint();
	struct pn_http_response response;
	struct pn_error err;

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		ck_assert_int_eq(ask(&(struct http_order){ .endpoint = &to, .fields = broken[i] },
				     &response, &err),
		    -EINVAL);
	ck_assert_int_eq(
	    ask(&(struct http_order){ .endpoint = &to, .method = "GET /" }, &response, &err),
	    -EINVAL);
	to.url = "http://127.0.0.1"; /* the request and its secrets would go to another host */
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		ck_assert_int_eq(
		    ask(&(struct http_order){ .endpoint = &to, .path = paths[i] }, &response, &err),
		    -EINVAL);
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		to.url = urls[i];
		ck_assert_int_eq(
		    ask(&(struct http_order){ .endpoint = &to }, &response, &err), -EINVAL);
		ck_assert_ptr_null(strstr(err.text, "passwd"));
	}
	ck_assert_int_eq(connections(), 0);
}
END_TEST

static bool
at_once(const void *arg)
{
	return true;
}

/* Nobody answers: the time that is given counts, and so does who asks no more. */
START_TEST(test_silence)
{
	struct pn_http_endpoint to = endpoint();
	struct pn_http_response response;
	struct pn_error err;
	int64_t began = clock_monotonic_ms();

	ck_assert_int_eq(
	    ask(&(struct http_order){ .endpoint = &to, .timeout_ms = 50 }, &response, &err),
	    -ETIMEDOUT);
	ck_assert_int_lt(clock_monotonic_ms() - began, 4500);
	ck_assert_int_eq(
	    ask(&(struct http_order){ .endpoint = &to, .timeout_ms = 60000, .stop = at_once },
		&response, &err),
	    -ECANCELED);
	ck_assert_int_lt(clock_monotonic_ms() - began, 50000);
	to.url = "http://127.0.0.1:1/secret?token=secret";
	ck_assert_int_eq(
	    ask(&(struct http_order){ .endpoint = &to }, &response, &err), -ECONNREFUSED);
	ck_assert_ptr_null(strstr(err.text, "token"));
}
END_TEST

/* A proxy of the environment is nobody's business. */
START_TEST(test_no_proxy)
{
	struct pn_http_endpoint to = endpoint();
	struct pn_http_response response;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	answer_with("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq(ask(&(struct http_order){ .endpoint = &to }, &response, NULL), 0);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
}
END_TEST

/* ---- through the contract -------------------------------------------------------------------- */

static void
write_token(void)
{
	FILE *file = fopen(world_path(&world, "token"), "w");

	fputs("Bearer abc", file);
	fclose(file);
	chmod(world_path(&world, "token"), 0600);
}

static void
run_webhook(const char *more)
{
	char section[400];

	write_token();
	snprintf(section, sizeof(section),
	    "webhook:\n  service:\n    url: \"%s\"\n    authorization: !file token\n%s", url, more);
	world_run(&world, "  - webhook\n", section);
	world_begin(&world);
	world_message(&world, WORLD_MESSAGE);
}

START_TEST(test_webhook)
{
	run_webhook("");
	answer_with("HTTP/1.1 204 Fine\r\n\r\n");
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	ck_assert_uint_eq(world.hops, 1);
	ck_assert_ptr_nonnull(strstr(request(), "POST /ask HTTP/1.1\r\n"));
	ck_assert_ptr_nonnull(strstr(request(), "\r\nAuthorization: Bearer abc\r\n"));
	answer_with("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_REJECT);
	answer_with("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_DEFER);
	ck_assert_int_eq(connections(), 1);
	/* What a generation has open the next one goes on with. */
	run_webhook("");
	answer_with("HTTP/1.1 204 Fine\r\n\r\n");
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	ck_assert_int_eq(connections(), 1);
}
END_TEST

/* A host that a stranger names must not be the way into the relay's own networks. */
START_TEST(test_strangers)
{
	run_webhook("  strangers: yes\n");
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_DEFER);
	ck_assert_int_eq(connections(), 0);
}
END_TEST

START_TEST(test_trial)
{
	world.trial = true;
	run_webhook("");
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	ck_assert_str_eq(chain_trace_text(world.txn), "webhook pass not asked in a trial");
	ck_assert_int_eq(connections(), 0);
}
END_TEST

START_TEST(test_deadline_of_the_endpoint)
{
	int64_t began = clock_monotonic_ms();

	run_webhook("    timeout: 50ms\n");
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_DEFER);
	ck_assert_int_lt(clock_monotonic_ms() - began, 15000);
	ck_assert_ptr_nonnull(strstr(chain_trace_text(world.txn), "imed out"));
}
END_TEST

START_TEST(test_check)
{
	static const char *const wrong[][2] = {
		{ "{ url: \"smtp://x\" }", "webhook.service.url: begins neither with http:// nor" },
		{ "{ url: \"https://a:b@x/\" }",
		    "webhook.service.url: holds a user or a password" },
		{ "{ url: \"https://x\", pins: [sha256//abc] }",
		    "webhook.service.pins[0]: is not" },
		{ "{ url: \"https://x\", timeout: 2m }", "webhook.service.timeout" },
	};
	char section[200];

	write_token();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(section, sizeof(section), "webhook:\n  service: %s\n", wrong[i][0]);
		ck_assert_int_eq(world_build(&world, 0, "  - webhook\n", section), -EINVAL);
		ck_assert_msg(
		    strstr(world_diags(&world), wrong[i][1]) != NULL, "%s", world_diags(&world));
	}
	ck_assert_int_eq(
	    world_build(&world, 0, "  - webhook\n",
		"webhook:\n  service: { url: \"http://x\", authorization: !file token }\n"),
	    0);
	ck_assert_ptr_nonnull(strstr(world_diags(&world), "goes there in clear"));
}
END_TEST

static Suite *
policy_http(void)
{
	Suite *suite = suite_create("policy_http");
	TCase *test = tcase_create("policy_http");

	tcase_add_checked_fixture(test, setup, teardown);
	tcase_set_timeout(test, 60);
	tcase_add_test(test, test_request_and_response);
	tcase_add_test(test, test_interim_answer);
	tcase_add_test(test, test_connections_are_kept);
	tcase_add_test(test, test_nobody_is_followed);
	tcase_add_test(test, test_too_large);
	tcase_add_test(test, test_what_cannot_be_asked);
	tcase_add_test(test, test_silence);
	tcase_add_test(test, test_no_proxy);
	tcase_add_test(test, test_webhook);
	tcase_add_test(test, test_strangers);
	tcase_add_test(test, test_trial);
	tcase_add_test(test, test_deadline_of_the_endpoint);
	tcase_add_test(test, test_check);
	suite_add_tcase(suite, test);
	return suite;
}

int
main(void)
{
	return unit_run(policy_http());
}
