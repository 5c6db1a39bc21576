/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_backends.c - unit tests of the module auth with services that say what the test wants; the
 * real ones are in tests/system/test_auth_backends.py.
 */
#include "policy_world.h"
#include "run.h"
#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct world world;
static const char *patience = "5s"; /* with saslauthd */

/* ---- services -------------------------------------------------------------------------------- */

/* Answers each connection once its question is there. */
struct service {
	int fd;
	unsigned line_ends;    /* in a question, at least */
	struct pn_slice later; /* set before the start: the answer to all but the first */
	_Atomic(const char *) answer;
	atomic_size_t answer_len;
	atomic_uint asked;
	pthread_t thread;
};

static void
converse(struct service *service, int fd)
{
	char question[8192];
	unsigned line_ends = 0;
	ssize_t len;

	do {
		len = recv(fd, question, sizeof(question), 0);
		for (ssize_t i = 0; i < len; i++)
			line_ends += question[i] == '\n';
	} while (len > 0 && line_ends < service->line_ends);
	atomic_fetch_add(&service->asked, len > 0);
	if (service->later.len > 0 && service->asked > 1)
		send(fd, service->later.data, service->later.len, MSG_NOSIGNAL);
	else
		send(fd, service->answer, service->answer_len, MSG_NOSIGNAL);
	close(fd);
}

static void *
serve(void *arg)
{
	struct service *service = arg;
	int fd;

	while ((fd = accept(service->fd, NULL, NULL)) >= 0)
		converse(service, fd);
	return NULL;
}

static void
answer(struct service *service, struct pn_slice text)
{
	service->answer = text.data;
	service->answer_len = text.len;
}

static void
start(struct service *service, const struct sockaddr *sa, socklen_t len)
{
	service->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	service->asked = 0;
	ck_assert_int_eq(bind(service->fd, sa, len), 0);
	ck_assert_int_eq(listen(service->fd, 16), 0);
	ck_assert_int_eq(pthread_create(&service->thread, NULL, serve, service), 0);
}

static void
start_unix(struct service *service, const char *name, unsigned line_ends, struct pn_slice text)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", world_path(&world, name));
	service->line_ends = line_ends;
	answer(service, text);
	start(service, (struct sockaddr *)&sa, sizeof(sa));
}

static void
stop(struct service *service)
{
	shutdown(service->fd, SHUT_RDWR);
	pthread_join(service->thread, NULL);
	close(service->fd);
}

#define SASLAUTHD_OK       pn_slice("\0\2OK", 4)
#define SASLAUTHD_NO       pn_slice("\0\2NO", 4)
#define DOVECOT_SAYS(line) pn_slice_of("VERSION\t1\t1\nDONE\n" line "\n")

/* ---- attempts -------------------------------------------------------------------------------- */

/* `backends`: those words, and what else `auth` has; the services' sockets have their names. */
static void
run_with(const char *backends, const char *directory)
{
	char sections[1000];

	snprintf(sections, sizeof(sections),
	    "auth:\n"
	    "  recheck: 0s\n"
	    "  failures: { per_client_and_user: 1000 }\n"
	    "  dovecot: { socket: %s/dovecot }\n"
	    "  saslauthd: { socket: %s/saslauthd, timeout: %s, domains: [clinic.example, b\xc3\xbc"
	    "cher.example] }\n"
	    "  backends: %s\n"
	    "%s",
	    world.folder, world.folder, patience, backends, directory);
	world_run(&world, "  - auth\n", sections);
	world_begin(&world);
}

/* The code, 235 for success. */
static int
plain(const char *user, const char *password)
{
	char response[3000];
	int len = snprintf(response, sizeof(response), "%c%s%c%s", 0, user, 0, password);

	world.txn->mechanism = "PLAIN";
	world.txn->response = pn_slice(response, (size_t)len);
	return world_stage(&world, PN_STAGE_AUTH) == RULING_IDENTIFIED ? 235 : world.ruling.code;
}

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

/* ---- tests ----------------------------------------------------------------------------------- */

/* U+FDFA is 3 bytes, and 33 once it is prepared: beyond what a password may have. */
START_TEST(a_password_that_grows)
{
	struct service dovecot = { 0 };
	char password[341 * 3 + 1] = "";

	for (size_t i = 0; i < 341; i++)
		memcpy(password + 3 * i, "\xef\xb7\xba", 4);
	start_unix(&dovecot, "dovecot", 3, DOVECOT_SAYS("FAIL\t1"));
	run_with("[dovecot]", "");
	ck_assert_int_eq(plain("lea@clinic.example", password), 535);
	ck_assert_uint_eq(dovecot.asked, 1);
	answer(&dovecot, DOVECOT_SAYS("OK\t1"));
	ck_assert_int_eq(plain("lea@clinic.example", password), 235);
	stop(&dovecot);
}
END_TEST

/* Whom Dovecot lets in by the name as typed, and the directory has as it is here. */
static const struct {
	const char *user;
	int code;
} vouched_for[] = {
	{ "lea@clinic.example", 235 },
	{ "LEA@Clinic.example", 235 },
	{ "lea@clinic.example ", 535 },
	{ "lea", 535 },
	{ "lea@", 535 },
	{ "off@clinic.example", 535 },
	{ "OFF@clinic.example", 535 },
	{ "gone@clinic.example", 535 },
	{ "Gone@CLINIC.example", 535 },
	{ "known@clinic.example", 235 },
};

START_TEST(whom_another_vouches_for)
{
	struct service dovecot = { 0 };

	ck_assert_int_eq(directory_user_add(world.db, "off@clinic.example", NULL), 0);
	ck_assert_int_eq(directory_user_enable(world.db, "off@clinic.example", false, NULL), 0);
	ck_assert_int_eq(directory_user_add(world.db, "known@clinic.example", NULL), 0);
	start_unix(&dovecot, "dovecot", 3, DOVECOT_SAYS("OK\t1"));
	run_with("[dovecot]", "directory: { users: { gone@clinic.example: { enabled: no } } }\n");
	ck_assert_int_eq(plain(vouched_for[_i].user, "secret"), vouched_for[_i].code);
	stop(&dovecot);
}
END_TEST

/* Who was right lately does not stay so as a user who is switched off in files. */
START_TEST(disabled_while_it_is_down)
{
	struct service dovecot = { 0 };

	start_unix(&dovecot, "dovecot", 3, DOVECOT_SAYS("OK\t1"));
	run_with("[dovecot]", "");
	ck_assert_int_eq(plain("Lea@clinic.example", "secret"), 235);
	stop(&dovecot);
	ck_assert_int_eq(plain("Lea@clinic.example", "secret"), 235);
	run_with("[dovecot]", "directory: { users: { lea@clinic.example: { enabled: no } } }\n");
	ck_assert_int_eq(plain("Lea@clinic.example", "secret"), 454);
}
END_TEST

/* PAM without `saslauthd -r` looks at the name alone: info@ any domain would be info. */
static const struct {
	const char *user;
	int code;
} domains[] = {
	{ "info@clinic.example", 235 },
	{ "info@CLINIC.example", 235 },
	{ "info@xn--bcher-kva.example", 235 },
	{ "info@b\xc3\xbc"
	  "cher.example",
	    235 },
	{ "info@lab.clinic.example", 535 },
	{ "info@other.example", 535 },
	{ "info@", 535 },
	{ "info", 535 },
};

START_TEST(saslauthd_for_its_domains)
{
	struct service saslauthd = { 0 };

	start_unix(&saslauthd, "saslauthd", 0, SASLAUTHD_OK);
	run_with("[saslauthd]", "");
	ck_assert_int_eq(plain(domains[_i].user, "secret"), domains[_i].code);
	ck_assert_uint_eq(saslauthd.asked, domains[_i].code == 235);
	stop(&saslauthd);
}
END_TEST

/* An old password is good while the one that vouched for it is down, not while another is. */
START_TEST(only_the_one_that_vouched)
{
	struct service saslauthd = { 0 };

	start_unix(&saslauthd, "saslauthd", 0, SASLAUTHD_OK);
	run_with("[saslauthd, dovecot]", "");
	ck_assert_int_eq(plain("lea@clinic.example", "secret"), 235);
	answer(&saslauthd, pn_slice("\0\2??", 4));
	ck_assert_int_eq(plain("lea@clinic.example", "secret"), 235);
	answer(&saslauthd, SASLAUTHD_NO);
	ck_assert_int_eq(plain("lea@clinic.example", "secret"), 454);
	stop(&saslauthd);
	/* nor again once it is down as well */
	ck_assert_int_eq(plain("lea@clinic.example", "secret"), 454);
}
END_TEST

/*
 * RFC 4511: "searchResDone, adminLimitExceeded" says nothing of the user, and so is no "no"; the
 * server would also say "bindResponse, invalidCredentials".
 */
START_TEST(a_server_that_gives_up)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	struct service ldap = { .later = pn_slice("\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31"
						  "\x04\x00\x04\x00",
				    14) };
	char settings[200];

	answer(&ldap, pn_slice("\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x0b\x04\x00\x04\x00", 14));
	start(&ldap, (struct sockaddr *)&sa, len);
	getsockname(ldap.fd, (struct sockaddr *)&sa, &len);
	snprintf(settings, sizeof(settings),
	    "[ldap]\n  ldap: { uris: \"ldap://127.0.0.1:%u\", starttls: no, base: \"\" }",
	    ntohs(sa.sin_port));
	run_with(settings, "");
	ck_assert_int_eq(plain("lea@clinic.example", "secret"), 454);
	stop(&ldap);
}
END_TEST

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* One who takes questions and answers none: the next attempts are not kept waiting for it. */
START_TEST(a_silent_backend_is_left_alone)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct service dovecot = { 0 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), asked = 0;
	int64_t began;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", world_path(&world, "saslauthd"));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	start_unix(&dovecot, "dovecot", 3, DOVECOT_SAYS("OK\t1"));
	patience = "2s";
	run_with("[saslauthd, dovecot]", "");
	began = now_ms();
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(plain("lea@clinic.example", "secret"), 235);
	answer(&dovecot, DOVECOT_SAYS("FAIL\t1"));
	ck_assert_int_eq(plain("lea@clinic.example", "wrong"), 454); /* it is not known */
	for (int one; (one = accept(fd, NULL, NULL)) >= 0; asked++)
		close(one);
	ck_assert_int_ge(asked, 1);
	/* on a machine that is slow enough its time is over, and one attempt tries it again */
	ck_assert(asked == 1 || now_ms() - began >= 4000);
	ck_assert_uint_eq(dovecot.asked, 7);
	stop(&dovecot);
	close(fd);
}
END_TEST

static const struct {
	const char *settings, *said; /* NULL: nothing */
} mistakes[] = {
	{ "backends: [saslauthd]", "auth.saslauthd.domains: " },
	{ "backends: [saslauthd], saslauthd: { domains: [clinic.example] }", NULL },
	{ "backends: [saslauthd], saslauthd: { domains: [info@clinic.example] }",
	    "auth.saslauthd.domains[0]: " },
	{ "backends: [ldap], ldap: { uris: [\"ldaps://a\", \"ldap://b\"], starttls: no }",
	    "auth.ldap.uris[1]: passwords of users go" },
	{ "backends: [ldap], ldap: { uris: [\"ldap://a\"] }", NULL },
	{ "backends: [ldap], ldap: { uris: [\"ldapi://%2Frun%2Fx\"], starttls: no }", NULL },
	{ "ldap: { uris: [\"ldap://a\"], starttls: no }", NULL },
	{ "mechanisms: [external], external_by: [fingerprint, address]", "auth.external_by: with" },
	{ "mechanisms: [plain], external_by: [address]", NULL },
	{ "mechanisms: [external]", NULL },
};

START_TEST(mistakes_are_named)
{
	char section[300];

	snprintf(section, sizeof(section), "auth: { %s }\n", mistakes[_i].settings);
	world_build(&world, 0, "  - auth\n", section);
	if (mistakes[_i].said)
		ck_assert_msg(strstr(world_diags(&world), mistakes[_i].said) != NULL, "%s",
		    world_diags(&world));
	else
		ck_assert_str_eq(world_diags(&world), "");
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int
main(void)
{
	Suite *suite = suite_create("auth_backends");
	TCase *test = tcase_create("auth_backends");

	tcase_add_checked_fixture(test, setup, teardown);
	tcase_set_timeout(test, 60);
	tcase_add_test(test, a_password_that_grows);
	tcase_add_loop_test(test, whom_another_vouches_for, 0, ROWS(vouched_for));
	tcase_add_test(test, disabled_while_it_is_down);
	tcase_add_loop_test(test, saslauthd_for_its_domains, 0, ROWS(domains));
	tcase_add_test(test, only_the_one_that_vouched);
	tcase_add_test(test, a_server_that_gives_up);
	tcase_add_test(test, a_silent_backend_is_left_alone);
	tcase_add_loop_test(test, mistakes_are_named, 0, ROWS(mistakes));
	suite_add_tcase(suite, test);
	return unit_run(suite);
}
