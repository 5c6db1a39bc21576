/* SPDX-License-Identifier: Apache-2.0 */
/* session_proxy.c - what a PROXY header changes for the server: limits, networks, AUTH, drain. */
#include <check.h>
#include <stdlib.h>

#include "session_talk.h"

#define COUNT(table) ((int)(sizeof(table) / sizeof(*(table))))

#define CONFIG \
	"relay:\n" \
	"  hostname: relay.example\n" \
	"  tls: { certificate: /c.pem, key: !file /k.pem }\n" \
	"  listeners:\n" \
	"    - { name: front, address: \"*:0\", tls: none, auth: offered, " \
	"auth_without_tls: yes, proxy: [192.0.2.5] }\n" \
	"    - { name: lan, address: \"*:0\", tls: none, networks: [10.0.0.0/8], " \
	"proxy: [192.0.2.0/24] }\n" \
	"    - { name: tls, address: \"127.0.0.1:0\", tls: implicit, proxy: [192.0.2.5] }\n" \
	"  limits: { connections: 4, connections_per_address: 2, tls_timeout: 1s }\n" \
	"routes: [ { to: discard } ]\n" \
	"pipeline: [quick]\n"

#define PROXY "192.0.2.5:5000"
#define HELLO \
	"S 220 relay.example ESMTP", "C EHLO client.example", "S 250 relay.example; PIPELINING"
#define MAIL          "C MAIL FROM:<a@example.org>", "S 250 2.1.0"
#define BYE           "C QUIT", "S 221 2.0.0", "X"
#define SAYS(address) "R PROXY TCP4 " address " 198.51.100.1 40000 25\r\n"
#define LOGIN         "C AUTH PLAIN AGFsaWNlAHNlY3JldA=="

static const struct {
	const char *listener, *peer;
	const char *script[16];
} talks[] = {
	{ "front", PROXY, { SAYS("198.51.100.7"), HELLO, LOGIN, "S 235 2.7.0", MAIL, BYE } },
	{ "front", PROXY, { "R PROXY UNKNOWN\r\n", HELLO, LOGIN, "S 235 2.7.0", MAIL, BYE } },
	/* whose TLS no proxy sees to */
	{ "front", "192.0.2.7:1", { HELLO, LOGIN, "S 503 5.5.1", BYE } },
	{ "front", "127.0.0.1:1", { HELLO, LOGIN, "S 235 2.7.0", MAIL, BYE } },
	{ "front", "192.0.2.7:1", { "S 220", "C PROXY UNKNOWN", "S 500 5.5.2", BYE } },
	{ "front", PROXY, { "C EHLO client.example", "X" } },
	{ "front", PROXY, { "R PROXY TCP4 198", "X" } }, /* in time */
	{ "tls", PROXY, { "X" } },
	{ "tls", PROXY, { SAYS("198.51.100.7"), "T", HELLO, BYE } },
	/* it is the client who has to be inside */
	{ "lan", PROXY, { SAYS("10.1.2.3"), HELLO, MAIL, BYE } },
	{ "lan", "192.0.2.99:1", { SAYS("192.0.2.7"), "S 554 5.7.1", "X" } },
	{ "lan", PROXY, { "R PROXY UNKNOWN\r\n", "S 554 5.7.1", "X" } },
	{ "lan", "10.1.2.3:1", { HELLO, MAIL, BYE } },
};

START_TEST(conversation)
{
	struct talk *talk = talk_open(CONFIG, talks[_i].listener, talks[_i].peer);

	talk_run(talk, talks[_i].script);
	talk_close(&talk);
}
END_TEST

static void
connect_as(struct talk *talk, const char *header, const char *reply)
{
	const char *script[] = { header, reply, NULL };

	talk_leave(talk);
	talk_connect(talk, "front", PROXY);
	talk_run(talk, script);
}

/* Limits per address are the client's, not the proxy's. */
START_TEST(clients_are_counted)
{
	const char *first[] = { SAYS("198.51.100.7"), "S 220", NULL };
	struct talk *talk = talk_open(CONFIG, "front", PROXY);

	talk_run(talk, first);
	connect_as(talk, SAYS("198.51.100.7"), "S 220");
	connect_as(talk, SAYS("198.51.100.7"), "S 421 4.7.0 Too many connections from you");
	connect_as(talk, SAYS("198.51.100.8"), "S 220");
	connect_as(talk, SAYS("198.51.100.9"), "S 220");
	talk_leave(talk);
	talk_connect(talk, "front", PROXY); /* not even its header is waited for */
	talk_run(talk, (const char *[]){ "S 421 4.7.0 Too many connections", "X", NULL });
	talk_close(&talk);
}
END_TEST

static void
count(void *arg)
{
	++*(int *)arg;
}

/* Nobody waits for a header when the server goes. */
START_TEST(drain)
{
	const char *gone[] = { "X", NULL };
	struct talk *talk = talk_open(CONFIG, "front", PROXY);
	int drained = 0;

	server_drain(talk_server(talk), 0, count, &drained);
	ck_assert_int_eq(drained, 1);
	talk_run(talk, gone);
	talk_close(&talk);
}
END_TEST

/* The connections that wait go with the server. */
START_TEST(end)
{
	struct talk *talk = talk_open(CONFIG, "front", PROXY);

	talk_leave(talk);
	talk_connect(talk, "front", PROXY);
	talk_close(&talk);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("session_proxy");
	TCase *tcase = tcase_create("session_proxy");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, conversation, 0, COUNT(talks));
	tcase_add_test(tcase, clients_are_counted);
	tcase_add_test(tcase, drain);
	tcase_add_test(tcase, end);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
