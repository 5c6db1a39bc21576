/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_ldap.c - unit tests of what LDAP look-ups do without a server; with one they are tested in
 * tests/system/test_phonebook.py.
 */
#include "policy_world.h"
#include "run.h"
#include <arpa/inet.h>
#include <core/base/clock.h>
#include <core/client/ldap.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct world world;

static void
setup(void)
{
	world_open(&world);
}

static void
teardown(void)
{
	world_close(&world);
}

/* ---- filters --------------------------------------------------------------------------------- */

static const char *
filled(const char *filter, const struct pn_slice *values, size_t count, int wanted)
{
	static char text[400];
	struct buf buf = BUF_INIT(sizeof(text) - 1);
	struct pn_error err;

	ck_assert_int_eq(ldap_filter_fill(filter, values, count, &buf, &err), wanted);
	snprintf(text, sizeof(text), "%.*s", (int)buf.len, buf.len ? buf.data : "");
	buf_free(&buf);
	return text;
}

START_TEST(test_filter)
{
	const struct pn_slice values[] = { pn_slice_of("a*)(uid=\\"),
		pn_slice("\0\xc3\xa4 ?2~", 7) };
	char large[500];
	const struct pn_slice long_value = pn_slice(large, sizeof(large));

	memset(large, 'x', sizeof(large));
	ck_assert_str_eq(filled("(a=?1)", values, 2, 0), "(a=a\\2a\\29\\28uid=\\5c)");
	ck_assert_str_eq(filled("(&(a=?2)(b=?2?x?))", values, 2, 0),
	    "(&(a=\\00\\c3\\a4 ?2~)(b=\\00\\c3\\a4 ?2~?x?))");
	ck_assert_str_eq(filled("(a=\\2a?)", values, 0, 0), "(a=\\2a?)");
	filled("(a=?3)", values, 2, -EINVAL);
	filled("(a=?0)", values, 2, 0);
	filled("(a=?1)", &long_value, 1, -E2BIG);
}
END_TEST

START_TEST(test_uris)
{
	static const char *const wrong[] = { "", "http://x", "ldap:x", "ldap://a b", "LDAP://x",
		"ldap://x/dc=example", "ldap://[::1", "cldap://x" };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(ldap_uri_fault(wrong[i]) != NULL, "%s", wrong[i]);
	ck_assert_ptr_null(ldap_uri_fault("ldap://ldap.example:389"));
	ck_assert_ptr_null(ldap_uri_fault("ldaps://[2001:db8::1]:636/"));
	ck_assert_ptr_null(ldap_uri_fault("ldapi://%2Frun%2Fldapi"));
}
END_TEST

/* ---- servers that are none ------------------------------------------------------------------- */

static int
never(void *arg, const struct pn_ldap_entry *entry)
{
	ck_abort();
}

static bool
at_once(const void *arg)
{
	return true;
}

static int
look_up(const char *uri, bool starttls, int64_t timeout_ms, bool (*stop)(const void *arg),
    struct pn_error *err)
{
	const struct pn_ldap_server server = {
		.uris = { 1, &uri }, .starttls = starttls, .base = ""
	};
	const struct pn_ldap_search search = { PN_LDAP_HEAD, .server = &server,
		.filter = "(cn=*)" };
	const struct ldap_order order = { &search, timeout_ms, stop, NULL };
	struct ldap_client *client;
	int r;

	ck_assert_int_eq(ldap_client_new(&client), 0);
	r = ldap_client_search(client, &order, never, NULL, err);
	ldap_client_free(&client);
	return r;
}

/* It takes connections and says nothing, whatever it is asked. */
START_TEST(test_silence)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int64_t began = clock_monotonic_ms();
	struct pn_error err;
	char uri[2][40];

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	getsockname(fd, (struct sockaddr *)&sa, &len);
	snprintf(uri[0], sizeof(uri[0]), "ldap://127.0.0.1:%u", ntohs(sa.sin_port));
	snprintf(uri[1], sizeof(uri[1]), "ldaps://127.0.0.1:%u", ntohs(sa.sin_port));
	ck_assert_int_eq(look_up(uri[0], false, 100, NULL, &err), -ETIMEDOUT);
	ck_assert_int_eq(look_up(uri[0], false, 60000, at_once, &err), -ECANCELED);
	ck_assert_int_eq(look_up(uri[0], true, 100, NULL, &err), -ETIMEDOUT);
	ck_assert_int_eq(look_up(uri[1], true, 100, NULL, &err), -ETIMEDOUT);
	ck_assert_int_lt(clock_monotonic_ms() - began, 50000);
	close(fd);
	ck_assert_int_eq(look_up(uri[0], false, 5000, NULL, &err), -ECONNREFUSED);
	ck_assert_ptr_nonnull(strstr(err.text, uri[0]));
}
END_TEST

static int
listen_tcp(char *ret_uri, size_t size)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	getsockname(fd, (struct sockaddr *)&sa, &len);
	snprintf(ret_uri, size, "ldap://127.0.0.1:%u", ntohs(sa.sin_port));
	return fd;
}

/* Says the same to each question, and then waits for the other end. */
struct speaker {
	int fd;
	struct pn_slice words;
};

static void *
speak_once(void *arg)
{
	const struct speaker *speaker = arg;
	int fd = accept(speaker->fd, NULL, NULL);
	char question[500];

	while (recv(fd, question, sizeof(question), 0) > 0)
		send(fd, speaker->words.data, speaker->words.len, MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

/* "success" of bindResponse and searchResDone (RFC 4511) */
static const struct {
	const char *words;
	bool bind;
} second_answers[] = {
	{ "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04", true },
	{ "\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04", false },
};

/* The first server says nothing, over TLS: there is time left for the second. */
START_TEST(test_first_is_silent)
{
	struct speaker speaker = { .words = pn_slice(second_answers[_i].words, 14) };
	char silent[40], tls[41], good[40];
	const char *const uris[] = { tls, good };
	const struct pn_ldap_server server = { .uris = { 2, uris }, .base = "" };
	const struct pn_ldap_search search = { PN_LDAP_HEAD, .server = &server,
		.filter = "(cn=*)" };
	const struct ldap_order order = { &search, 1000, NULL, NULL };
	int fd = listen_tcp(silent, sizeof(silent)), r;
	struct ldap_client *client;
	struct pn_error err = { 0 };
	pthread_t thread;

	snprintf(tls, sizeof(tls), "ldaps%s", silent + 4);
	speaker.fd = listen_tcp(good, sizeof(good));
	ck_assert_int_eq(pthread_create(&thread, NULL, speak_once, &speaker), 0);
	ck_assert_int_eq(ldap_client_new(&client), 0);
	r = second_answers[_i].bind ? ldap_client_bind(&order, "cn=x", pn_slice_of("secret"), &err)
				    : ldap_client_search(client, &order, never, NULL, &err);
	ldap_client_free(&client);
	shutdown(speaker.fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(fd);
	close(speaker.fd);
	ck_assert_msg(r == 0, "%s", err.text);
}
END_TEST

struct asker {
	bool gone, asked_when_gone;
};

static bool
ask(const void *arg)
{
	struct asker *asker = (struct asker *)(uintptr_t)arg;

	asker->asked_when_gone |= asker->gone;
	return false;
}

/* Says "searchResDone, success" to whoever asks first (RFC 4511 section 4.5.2). */
static void *
find_nothing(void *arg)
{
	static const char done[] = "\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04";
	int fd = accept(*(int *)arg, NULL, NULL);
	char question[500];

	if (recv(fd, question, sizeof(question), 0) > 0)
		send(fd, done, sizeof(done), MSG_NOSIGNAL);
	while (recv(fd, question, sizeof(question), 0) > 0)
		;
	close(fd);
	return NULL;
}

/* The connection waits for the next look-up; whoever made the last one is not asked any more. */
START_TEST(test_who_asked_last)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	const char *uris[1];
	const struct pn_ldap_server server = { .uris = { 1, uris }, .base = "" };
	const struct pn_ldap_search search = { PN_LDAP_HEAD, .server = &server,
		.filter = "(cn=*)" };
	struct asker asker = { false, false };
	const struct ldap_order order = { &search, 60000, ask, &asker };
	struct ldap_client *client;
	struct pn_error err;
	pthread_t thread;
	char uri[40];

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	getsockname(fd, (struct sockaddr *)&sa, &len);
	snprintf(uri, sizeof(uri), "ldap://127.0.0.1:%u", ntohs(sa.sin_port));
	uris[0] = uri;
	ck_assert_int_eq(pthread_create(&thread, NULL, find_nothing, &fd), 0);
	ck_assert_int_eq(ldap_client_new(&client), 0);
	ck_assert_int_eq(ldap_client_search(client, &order, never, NULL, &err), 0);
	asker.gone = true;
	ldap_client_free(&client);
	pthread_join(thread, NULL);
	close(fd);
	ck_assert(!asker.asked_when_gone);
}
END_TEST

START_TEST(test_check)
{
	static const char *const wrong[][2] = {
		{ "{ uris: \"http://x\" }", "phonebook.directory.uris[0]: begins neither" },
		{ "{ uris: [\"ldap://x\", \"ldap://x/dc=a\"] }",
		    "phonebook.directory.uris[1]: has a base" },
		{ "{ uris: \"ldap://x\", bind_dn: cn=x }",
		    "phonebook.directory.bind_dn: bind_dn and bind_password go together" },
		{ "{ starttls: no }", "phonebook.directory.uris" },
	};
	char section[200];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(section, sizeof(section), "phonebook:\n  directory: %s\n", wrong[i][0]);
		ck_assert_int_eq(world_build(&world, 0, "  - phonebook\n", section), -EINVAL);
		ck_assert_msg(
		    strstr(world_diags(&world), wrong[i][1]) != NULL, "%s", world_diags(&world));
	}
}
END_TEST

static Suite *
policy_ldap(void)
{
	Suite *suite = suite_create("policy_ldap");
	TCase *test = tcase_create("policy_ldap");

	tcase_add_checked_fixture(test, setup, teardown);
	tcase_set_timeout(test, 60);
	tcase_add_test(test, test_filter);
	tcase_add_test(test, test_uris);
	tcase_add_test(test, test_silence);
	tcase_add_loop_test(test, test_first_is_silent, 0, 2);
	tcase_add_test(test, test_who_asked_last);
	tcase_add_test(test, test_check);
	suite_add_tcase(suite, test);
	return suite;
}

int
main(void)
{
	return unit_run(policy_ldap());
}
