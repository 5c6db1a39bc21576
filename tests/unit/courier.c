/* SPDX-License-Identifier: Apache-2.0 */
/* courier.c - unit tests of the sending side, against a next hop that follows a script. */
#include "run.h"
#include "tests/unit/next_hop.h"
#include <check.h>
#include <core/net/jobs.h>
#include <core/smtp/courier.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MESSAGE "Subject: x\r\n\r\n.dot\r\nplain\r\n..\r\n"

struct talk {
	struct loop *loop;
	struct jobs *jobs;
	struct resolver *resolver;
	struct courier *courier;
	struct courier_target target;
	struct courier_limits limits;
	struct mail_envelope envelope;
	struct arena arena;
	struct mail_bytes *bytes;
	uint32_t indices[200];
	struct courier_result results[200];
	struct courier_letter letter;
	size_t recipients;
	unsigned letters; /* still to be sent */
	bool needs_utf8, has_eightbit;
	struct mail_demand demand; /* of the first letter */
	bool last_stale, secure;
	char outcomes[2000]; /* a letter each per recipient, "," between messages */
	char last_reply[COURIER_TEXT];
	char ended[COURIER_TEXT]; /* the reason, "-" for none */
	unsigned ends;
};

/* ---- the owner of a courier -------------------------------------------------------------------
 */

static void
note_letter(struct talk *talk)
{
	size_t at = strlen(talk->outcomes);

	if (at > 0)
		talk->outcomes[at++] = ',';
	for (size_t i = 0; i < talk->recipients; i++) {
		talk->outcomes[at++] = "?DFTW"[talk->results[i].outcome];
		if (talk->results[i].reply)
			snprintf(talk->last_reply, sizeof(talk->last_reply), "%s",
			    talk->results[i].reply);
	}
	talk->last_stale = talk->letter.stale;
	talk->secure = talk->letter.tls.version != NULL;
	ck_assert_ptr_nonnull(talk->letter.remote);
}

static void
send_next(struct talk *talk)
{
	while (talk->letters > 0 && courier_is_ready(talk->courier)) {
		talk->letters--;
		memset(talk->results, 0, sizeof(talk->results));
		talk->letter = (struct courier_letter){
			.envelope = &talk->envelope,
			.bytes = talk->bytes,
			.len = talk->bytes->len,
			.arena = &talk->arena,
			.indices = talk->indices,
			.count = talk->recipients,
			.results = talk->results,
			.needs_utf8 = talk->needs_utf8,
			.has_eightbit = talk->has_eightbit,
			.demand = talk->demand,
		};
		talk->demand = (struct mail_demand){ 0 };
		if (courier_send(talk->courier, &talk->letter))
			return;
		note_letter(talk);
	}
	if (courier_is_ready(talk->courier))
		courier_quit(talk->courier);
}

static void
on_ready(struct courier *courier)
{
	send_next(courier_arg(courier));
}

static void
on_finished(struct courier *courier, struct courier_letter *letter)
{
	struct talk *talk = courier_arg(courier);

	note_letter(talk);
	send_next(talk);
}

static void
on_ended(struct courier *courier, const char *reason)
{
	struct talk *talk = courier_arg(courier);

	snprintf(talk->ended, sizeof(talk->ended), "%s", reason ? reason : "-");
	talk->ends++;
	courier_free(&talk->courier);
	loop_stop(talk->loop);
}

static const struct courier_events events = { on_ready, on_finished, on_ended };

static void
talk_begin(struct talk *talk, size_t recipients, unsigned letters, const char *message)
{
	char address[64];

	*talk = (struct talk){ .recipients = recipients, .letters = letters };
	talk->limits = courier_limits_standard;
	talk->envelope.sender = "a@s.example";
	for (size_t i = 0; i < recipients; i++) {
		snprintf(address, sizeof(address), "r%zu@r.example", i);
		mail_envelope_add(&talk->envelope, &talk->arena, address);
		talk->indices[i] = (uint32_t)i;
	}
	ck_assert_int_eq(mail_bytes_new(strlen(message), &talk->bytes), 0);
	ck_assert_int_eq(mail_bytes_append(talk->bytes, message, strlen(message), SIZE_MAX / 2), 0);
	ck_assert_int_eq(loop_new(&talk->loop, NULL), 0);
	ck_assert_int_eq(jobs_new(1, &talk->jobs, NULL), 0);
	ck_assert_int_eq(resolver_new(talk->jobs, &talk->resolver), 0);
	talk->target.host = "127.0.0.1";
}

static void
talk_run(struct talk *talk, uint16_t port)
{
	struct courier_parts parts = {
		.loop = talk->loop,
		.resolver = talk->resolver,
		.target = &talk->target,
		.limits = &talk->limits,
		.relay_name = "relay.test",
		.idle_ms = 5000,
		.events = &events,
		.arg = talk,
	};

	talk->target.port = port;
	ck_assert_int_eq(courier_new(&parts, &talk->courier), 0);
	loop_run(talk->loop);
	ck_assert_uint_eq(talk->ends, 1);
	ck_assert_ptr_null(talk->courier);
}

static void
talk_end(struct talk *talk)
{
	jobs_free(&talk->jobs);
	resolver_free(&talk->resolver);
	loop_free(&talk->loop);
	ck_assert_uint_eq(talk->bytes->references, 1);
	mail_bytes_release(&talk->bytes);
	arena_free(&talk->arena);
	SSL_CTX_free(talk->target.tls);
}

/* ---- conversations ----------------------------------------------------------------------------
 */

#define HELLO "A", "S 220 hop ESMTP", "C EHLO relay.test\r\n"
#define LHLO  "A", "S 220 store LMTP", "C LHLO relay.test\r\n"
#define BYE   "C QUIT\r\n", "S 221 bye", "H"
#define BARE  "S 250 hop"
#define PIPED "S 250-hop\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 10000\r\n250 DSN"
#define CHUNK "S 250-hop\r\n250-pipelining\r\n250-8BITMIME\r\n250 CHUNKING"
#define FROM  "C MAIL FROM:<a@s.example>"
#define TO(n) "C RCPT TO:<r" #n "@r.example>"
#define OK    "S 250 2.0.0 ok"
#define GO    "S 354 go on"
#define ONE   FROM, OK, TO(0), OK, "C DATA", GO, "D", "S 250 2.0.0 queued"
#define LIST(...) \
	(const char *const[]) \
	{ \
		__VA_ARGS__, NULL \
	}

static const struct conversation {
	const char *name;
	const char *const *script;
	size_t recipients;
	unsigned letters;
	const char *outcomes, *reply, *ended; /* reply, ended: NULL: not looked at; parts of */
	const char *user;
	enum tls_level level;
	bool eightbit, utf8;
	bool at_once; /* means nothing where it comes byte by byte */
	bool lmtp, implicit;
} conversations[] = {
	{ "bare", LIST(HELLO, BARE, ONE, BYE), 1, 1, "D", "250 2.0.0 queued", "-" },
	{ "multi-line", LIST("A", "S 220-hop\r\n220 ESMTP", "C EHLO", BARE, ONE, BYE), 1, 1, "D",
	    NULL, "-" },
	{ "helo", LIST(HELLO, "S 502 what", "C HELO relay.test\r\n", OK, ONE, BYE), 1, 1, "D", NULL,
	    "-" },
	{ "two letters", LIST(HELLO, BARE, ONE, ONE, BYE), 1, 2, "D,D", NULL, "-" },
	{ "piped",
	    LIST(HELLO, PIPED, "C MAIL FROM:<a@s.example> SIZE=31\r\n", TO(0), TO(1), "C DATA", OK,
		OK, OK, GO, "D", OK, BYE),
	    2, 1, "DD", NULL, "-" },
	{ "chunked", LIST(HELLO, CHUNK, FROM, TO(0), "B", OK, OK, OK, BYE), 1, 1, "D", NULL, "-" },
	{ "chunked twice",
	    LIST(HELLO, CHUNK, FROM, TO(0), "B", OK, OK, OK, FROM, TO(0), "B", OK, OK, OK, BYE), 1,
	    2, "D,D", NULL, "-" },
	{ "mixed",
	    LIST(HELLO, BARE, FROM, OK, TO(0), OK, TO(1), "S 550 5.1.1 no", TO(2), "S 451 later",
		"C DATA", GO, "D", OK, BYE),
	    3, 1, "DFT", "451 later", "-" },
	{ "mixed, piped",
	    LIST(HELLO, PIPED, FROM, TO(0), TO(1), TO(2), "C DATA", OK, "S 451 later",
		"S 550 5.1.1 no", OK, GO, "D", OK, BYE),
	    3, 1, "TFD", NULL, "-" },
	{ "all refused, then the next",
	    LIST(HELLO, PIPED, FROM, TO(0), "C DATA", OK, "S 550 no", "S 503 nobody", "C RSET",
		FROM, TO(0), "C DATA", OK, OK, OK, GO, "D", OK, BYE),
	    1, 2, "F,D", NULL, "-" },
	{ "all refused, 354 all the same",
	    LIST(HELLO, PIPED, FROM, TO(0), "C DATA", OK, "S 550 no", GO, "C .\r\n", "S 554 none",
		BYE),
	    1, 1, "F", "550 no", "-" },
	{ "all refused, chunked",
	    LIST(HELLO, CHUNK, FROM, TO(0), "B", OK, "S 550 no", "S 503 nobody", "C RSET", FROM,
		TO(0), "B", OK, OK, OK, OK, BYE),
	    1, 2, "F,D", NULL, "-" },
	{ "all refused, bare",
	    LIST(HELLO, BARE, FROM, OK, TO(0), "S 550 no", "C RSET", OK, ONE, BYE), 1, 2, "F,D",
	    NULL, "-" },
	{ "sender refused", LIST(HELLO, BARE, FROM, "S 550 5.7.1 not you", ONE, BYE), 1, 2, "F,D",
	    NULL, "-" },
	{ "sender refused, piped",
	    LIST(HELLO, PIPED, FROM, TO(0), TO(1), "C DATA", "S 450 4.7.1 not now",
		"S 503 no sender", "S 503 no sender", "S 503 no sender", BYE),
	    2, 1, "TT", "450 4.7.1 not now", "-" },
	{ "data refused", LIST(HELLO, BARE, FROM, OK, TO(0), OK, "C DATA", "S 451 full", BYE), 1, 1,
	    "T", "451 full", "-" },
	{ "message refused",
	    LIST(HELLO, BARE, FROM, OK, TO(0), OK, "C DATA", GO, "D", "S 554 spam", ONE, BYE), 1, 2,
	    "F,D", NULL, "-" },
	{ "message deferred",
	    LIST(HELLO, CHUNK, FROM, TO(0), TO(1), "B", OK, OK, OK, "S 452 full", BYE), 2, 1, "TT",
	    "452 full", "-" },
	{ "too many for one transaction",
	    LIST(HELLO, PIPED, FROM, TO(0), TO(1), TO(2), "C DATA", OK, OK, "S 452 4.5.3 many",
		"S 552 many", GO, "D", OK, FROM, TO(1), TO(2), "C DATA", OK, OK, OK, GO, "D", OK,
		BYE),
	    3, 1, "DDD", NULL, "-" },
	{ "too many, bare",
	    LIST(HELLO, BARE, FROM, OK, TO(0), OK, TO(1), "S 452 many", "C DATA", GO, "D", OK, FROM,
		OK, TO(1), OK, "C DATA", GO, "D", "S 451 no", BYE),
	    2, 1, "DT", "451 no", "-" },
	{ "full at the first recipient",
	    LIST(HELLO, PIPED, FROM, TO(0), "C DATA", OK, "S 552 full", "S 503 none", BYE), 1, 1,
	    "T", "552 full", "-" },
	{ "421 for MAIL", LIST(HELLO, BARE, FROM, "S 421 4.3.2 going down"), 1, 1, "T",
	    "421 4.3.2 going down", "421" },
	{ "421 in the middle",
	    LIST(HELLO, PIPED, FROM, TO(0), TO(1), "C DATA", OK, OK, "S 421 bye"), 2, 1, "TT",
	    "421 bye", "421" },
	{ "421 for the message", LIST(HELLO, CHUNK, FROM, TO(0), "B", OK, OK, "S 421 bye"), 1, 1,
	    "T", "421 bye", "421" },
	{ "closed after DATA", LIST(HELLO, BARE, FROM, OK, TO(0), OK, "C DATA", GO, "D"), 1, 1, "T",
	    "451 4.4.2", "connection lost" },
	{ "gone while idle", LIST(HELLO, BARE, ONE), 1, 2, "D,T", "451 4.4.2", "connection lost" },
	{ "421 while idle", LIST(HELLO, BARE, ONE, FROM, "S 421 idle too long"), 1, 2, "D,T", "421",
	    "421 idle" },
	{ "greeting refused", LIST("A", "S 554 no mail here", "H"), 1, 1, "", NULL,
	    "554 no mail here" },
	{ "greeting is not SMTP", LIST("A", "S HTTP/1.1 400 Bad", "H"), 1, 1, "", NULL,
	    "not SMTP" },
	{ "greeting closed", LIST("A"), 1, 1, "", NULL, "the greeting" },
	{ "hello refused", LIST(HELLO, "S 550 no", "C HELO", "S 550 no", "H"), 1, 1, "", NULL,
	    "550 no" },
	{ "354 for MAIL", LIST(HELLO, BARE, FROM, GO, "H"), 1, 1, "T", "354 to MAIL", "no sense" },
	{ "250 for DATA", LIST(HELLO, BARE, FROM, OK, TO(0), OK, "C DATA", OK, "H"), 1, 1, "T",
	    "250 to DATA", "no sense" },
	{ "354 for the message", LIST(HELLO, BARE, FROM, OK, TO(0), OK, "C DATA", GO, "D", GO, "H"),
	    1, 1, "T", NULL, "no sense" },
	{ "a reply too many",
	    LIST(HELLO, BARE, FROM, OK, TO(0), OK, "C DATA", GO, "D", "S 250 ok\r\n250 and more",
		"H"),
	    1, 1, "D", NULL, NULL },
	{ "replies ahead of their commands", LIST(HELLO, BARE, FROM, "S 250 ok\r\n250 ok", "H"), 1,
	    1, "T", "came before the reply to RCPT was asked for", "came before", .at_once = true },
	{ "taken before it was sent",
	    LIST(HELLO, BARE, FROM, OK, TO(0), OK, "C DATA", "S 354 go\r\n250 taken", "H"), 1, 1,
	    "T", "something came before the message", "came before", .at_once = true },
	{ "EHLO answered with the greeting", LIST("A", "S 220 hop\r\n250 hop", "H"), 1, 1, "", NULL,
	    "250 came before the reply to EHLO", .at_once = true },
	{ "the next letter answered with the last",
	    LIST(HELLO, BARE, FROM, OK, TO(0), OK, "C DATA", GO, "D", "S 250 ok\r\n250 ok", "H"), 1,
	    2, "D,T", "came before the reply to MAIL", "came before", .at_once = true },
	{ "no 8BITMIME", LIST(HELLO, BARE, BYE), 1, 1, "F", "554 5.6.3", "-", .eightbit = true },
	{ "8BITMIME",
	    LIST(HELLO, CHUNK, "C MAIL FROM:<a@s.example> BODY=8BITMIME\r\n", TO(0), "B", OK, OK,
		OK, BYE),
	    1, 1, "D", NULL, "-", .eightbit = true },
	{ "no SMTPUTF8", LIST(HELLO, PIPED, BYE), 1, 2, "F,F", "553 5.6.7", "-", .utf8 = true },
	{ "SMTPUTF8",
	    LIST(HELLO, "S 250-hop\r\n250 SMTPUTF8", "C MAIL FROM:<a@s.example> SMTPUTF8\r\n", OK,
		TO(0), OK, "C DATA", GO, "D", OK, BYE),
	    1, 1, "D", NULL, "-", .utf8 = true },
	{ "too large", LIST(HELLO, "S 250-hop\r\n250 SIZE 20", BYE), 1, 1, "F", "552 5.3.4", "-" },
	{ "AUTH PLAIN",
	    LIST(HELLO, "S 250-hop\r\n250 AUTH LOGIN PLAIN", "C AUTH PLAIN AHVzZXIAc2VjcmV0\r\n",
		"S 235 2.7.0 you are", "C MAIL FROM:<a@s.example> AUTH=<>\r\n", OK, TO(0), OK,
		"C DATA", GO, "D", OK, BYE),
	    1, 1, "D", NULL, "-", "user" },
	{ "AUTH LOGIN",
	    LIST(HELLO, "S 250-hop\r\n250 AUTH=LOGIN", "C AUTH LOGIN\r\n", "S 334 VXNlcm5hbWU6",
		"C dXNlcg==\r\n", "S 334 UGFzc3dvcmQ6", "C c2VjcmV0\r\n", "S 235 yes", ONE, BYE),
	    1, 1, "D", NULL, "-", "user" },
	{ "AUTH refused",
	    LIST(HELLO, "S 250-hop\r\n250 AUTH PLAIN", "C AUTH PLAIN", "S 535 5.7.8 wrong", "H"), 1,
	    1, "", NULL, "AUTH as user: 535 5.7.8 wrong", "user" },
	{ "AUTH answered early",
	    LIST(HELLO, "S 250-hop\r\n250 AUTH LOGIN", "C AUTH LOGIN", "S 235 already", "H"), 1, 1,
	    "", NULL, "AUTH as user", "user" },
	{ "AUTH not offered", LIST(HELLO, BARE, "H"), 1, 1, "", NULL, "neither", "user" },
	{ "TLS if possible",
	    LIST(HELLO, "S 250-hop\r\n250 STARTTLS", "C STARTTLS\r\n", "S 220 go", "T",
		"C EHLO relay.test", CHUNK, FROM, TO(0), "B", OK, OK, OK, BYE),
	    1, 1, "D", NULL, "-", .level = TLS_LEVEL_MAY },
	{ "TLS refused",
	    LIST(HELLO, "S 250-hop\r\n250 STARTTLS", "C STARTTLS", "S 454 no", ONE, BYE), 1, 1, "D",
	    NULL, "-", .level = TLS_LEVEL_MAY },
	{ "TLS broken",
	    LIST(HELLO, "S 250-hop\r\n250 STARTTLS", "C STARTTLS", "S 220 go", "S rubbish", HELLO,
		"S 250-hop\r\n250 STARTTLS", ONE, BYE),
	    1, 1, "D", NULL, "-", .level = TLS_LEVEL_MAY },
	{ "TLS cut off",
	    LIST(HELLO, "S 250-hop\r\n250 STARTTLS", "C STARTTLS", "S 220 go", HELLO, BARE, ONE,
		BYE),
	    1, 1, "D", NULL, "-", .level = TLS_LEVEL_MAY },
	{ "TLS demanded, not offered", LIST(HELLO, BARE, "H"), 1, 1, "", NULL,
	    "required and not offered", .level = TLS_LEVEL_ENCRYPT },
	{ "TLS demanded, refused",
	    LIST(HELLO, "S 250-hop\r\n250 STARTTLS", "C STARTTLS", "S 454 no", "H"), 1, 1, "", NULL,
	    "454 no", .level = TLS_LEVEL_ENCRYPT },
	{ "TLS demanded, broken",
	    LIST(HELLO, "S 250-hop\r\n250 STARTTLS", "C STARTTLS", "S 220 go", "W", "S rubbish",
		"H"),
	    1, 1, "", NULL, "451 4.7.5", .level = TLS_LEVEL_ENCRYPT, .at_once = true },
	{ "injected before TLS",
	    LIST(HELLO, "S 250-hop\r\n250 STARTTLS", "C STARTTLS", "S 220 go\r\n250 CHUNKING", "T",
		"C EHLO", BARE, ONE, BYE),
	    1, 1, "D", NULL, "-", .level = TLS_LEVEL_ENCRYPT, .at_once = true },
	{ "offers change in TLS",
	    LIST(HELLO, "S 250-hop\r\n250-AUTH PLAIN\r\n250-CHUNKING\r\n250 STARTTLS", "C STARTTLS",
		"S 220 go", "T", "C EHLO", "S 250-hop\r\n250 AUTH LOGIN", "C AUTH LOGIN", "S 334 a",
		"C dXNlcg==", "S 334 b", "C c2VjcmV0", "S 235 yes", ONE, BYE),
	    1, 1, "D", NULL, "-", "user", .level = TLS_LEVEL_ENCRYPT },
	{ "TLS from the first byte",
	    LIST("A", "T", "S 220 hop", "C EHLO relay.test\r\n", CHUNK, FROM, TO(0), "B", OK, OK,
		OK, BYE),
	    1, 1, "D", NULL, "-", .level = TLS_LEVEL_ENCRYPT, .implicit = true },
	{ "TLS from the first byte, at level may",
	    LIST("A", "T", "S 220 hop", "C EHLO", BARE, ONE, BYE), 1, 1, "D", NULL, "-",
	    .level = TLS_LEVEL_MAY, .implicit = true },
	{ "TLS from the first byte, never in clear", LIST("A", "S 220 hop", "H"), 1, 1, "", NULL,
	    "451 4.7.5", .level = TLS_LEVEL_MAY, .implicit = true, .at_once = true },
	{ "TLS from the first byte, cut off", LIST("A"), 1, 1, "", NULL, "451 4.",
	    .level = TLS_LEVEL_MAY, .implicit = true },
	{ "LMTP", LIST(LHLO, BARE, ONE, ONE, BYE), 1, 2, "D,D", NULL, "-", .lmtp = true },
	{ "LMTP, one reply each",
	    LIST(LHLO, PIPED, FROM, TO(0), TO(1), TO(2), TO(3), "C DATA", OK, OK, "S 550 5.1.1 no",
		OK, OK, GO, "D", OK, "S 452 4.2.2 full", "S 554 5.6.0 never", BYE),
	    4, 1, "DFTF", NULL, "-", .lmtp = true },
	{ "LMTP, bare",
	    LIST(LHLO, BARE, FROM, OK, TO(0), OK, TO(1), OK, "C DATA", GO, "D", "S 452 4.2.2 full",
		OK, BYE),
	    2, 1, "TD", "250 2.0.0 ok", "-", .lmtp = true },
	{ "LMTP, chunked",
	    LIST(LHLO, CHUNK, FROM, TO(0), TO(1), OK, OK, OK, "B", OK, "S 550 5.2.0 no", FROM,
		TO(0), TO(1), OK, "S 550 no", OK, "B", OK, BYE),
	    2, 2, "DF,FD", NULL, "-", .lmtp = true },
	{ "LMTP, chunked, nobody",
	    LIST(LHLO, CHUNK, FROM, TO(0), OK, "S 550 no", "C RSET\r\n", FROM, TO(0), OK, OK, OK,
		"B", "S 452 4.2.2 full", BYE),
	    1, 2, "F,T", NULL, "-", .lmtp = true },
	{ "LMTP, DATA refused",
	    LIST(LHLO, PIPED, FROM, TO(0), "C DATA", OK, "S 550 no", "S 503 5.5.1 nobody", BYE), 1,
	    1, "F", "550 no", "-", .lmtp = true },
	{ "LMTP, DATA for nobody",
	    LIST(LHLO, PIPED, FROM, TO(0), "C DATA", OK, "S 550 no", GO, "H"), 1, 1, "F", "550 no",
	    "no sense", .lmtp = true },
	{ "LMTP, lost between the replies",
	    LIST(LHLO, PIPED, FROM, TO(0), TO(1), TO(2), "C DATA", OK, OK, OK, OK, GO, "D", OK,
		"S 550 5.2.0 no"),
	    3, 1, "DFT", "451 4.4.2", "connection lost", .lmtp = true },
	{ "LMTP, 421 between the replies",
	    LIST(LHLO, PIPED, FROM, TO(0), TO(1), "C DATA", OK, OK, OK, GO, "D", OK,
		"S 421 4.3.2 away"),
	    2, 1, "DT", "421 4.3.2 away", "421", .lmtp = true },
	{ "LMTP, LHLO refused", LIST(LHLO, "S 500 what", "H"), 1, 1, "", NULL, "500 what",
	    .lmtp = true },
	{ "LMTP, STARTTLS",
	    LIST(LHLO, "S 250-store\r\n250 STARTTLS", "C STARTTLS\r\n", "S 220 go", "T",
		"C LHLO relay.test", BARE, ONE, BYE),
	    1, 1, "D", NULL, "-", .level = TLS_LEVEL_MAY, .lmtp = true },
};

static void
converse(const struct conversation *the, bool dribble, SSL_CTX *server, struct talk *talk)
{
	struct next_hop *hop = next_hop_new(the->script, dribble, server);
	const char *fault;

	talk_begin(talk, the->recipients, the->letters, MESSAGE);
	talk->needs_utf8 = the->utf8;
	talk->has_eightbit = the->eightbit;
	talk->target.user = the->user;
	talk->target.password = pn_slice_of("secret");
	talk->target.level = the->level;
	talk->target.lmtp = the->lmtp;
	talk->target.implicit_tls = the->implicit;
	if (the->level != TLS_LEVEL_NONE)
		ck_assert_int_eq(
		    tls_client_new(the->level, NULL, TLS_MIN_1_2, &talk->target.tls, NULL), 0);
	talk_run(talk, next_hop_port(hop));
	fault = next_hop_end(hop);
	ck_assert_msg(!fault, "%s: %s", the->name, fault);
	for (struct pn_slice all = next_hop_messages(hop); all.len > 0;) {
		ck_assert_uint_ge(all.len, strlen(MESSAGE));
		ck_assert_int_eq(memcmp(all.data, MESSAGE, strlen(MESSAGE)), 0);
		all = pn_slice(all.data + strlen(MESSAGE), all.len - strlen(MESSAGE));
	}
	next_hop_free(&hop);
}

START_TEST(conversation)
{
	const struct conversation *the = &conversations[_i / 2];
	SSL_CTX *server = next_hop_tls("DNS:localhost", NULL);
	struct talk talk;

	converse(the, _i % 2 && !the->at_once, server, &talk);
	ck_assert_msg(
	    strcmp(talk.outcomes, the->outcomes) == 0, "%s: %s", the->name, talk.outcomes);
	if (the->reply)
		ck_assert_msg(strstr(talk.last_reply, the->reply) != NULL, "%s: %s", the->name,
		    talk.last_reply);
	if (the->ended)
		ck_assert_msg(
		    strstr(talk.ended, the->ended) != NULL, "%s: %s", the->name, talk.ended);
	if (strstr(the->name, "while idle"))
		ck_assert(talk.last_stale);
	talk_end(&talk);
	SSL_CTX_free(server);
}
END_TEST

/* ---- faults at every step ---------------------------------------------------------------------
 */

static const char *const whole[][40] = {
	{ HELLO, BARE, ONE, ONE, BYE, NULL },
	{ HELLO, PIPED, FROM, TO(0), "C DATA", OK, OK, GO, "D", OK, FROM, TO(0), "C DATA", OK, OK,
	    GO, "D", OK, BYE, NULL },
	{ HELLO, CHUNK, FROM, TO(0), "B", OK, OK, OK, FROM, TO(0), "B", OK, OK, OK, BYE, NULL },
	{ HELLO, "S 250-hop\r\n250 STARTTLS", "C STARTTLS", "S 220 go", "T", "C EHLO", CHUNK, FROM,
	    TO(0), "B", OK, OK, OK, FROM, TO(0), "B", OK, OK, OK, BYE, NULL },
};
#define LONG_LINE "S 250 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
static const char *const faults[] = { "H", "R", "S 421 away", "S 5", "S \xff\xfe\x01",
	"S 250-go on", "S 599 odd", "S 200 odd", "S 354 odd",
	"S 450 later\r\n450 later\r\n450 later", LONG_LINE, "S 250-a\r\n550 b" };
#define STEPS_MOST 28

START_TEST(fault_at_step)
{
	size_t kind = (size_t)_i / STEPS_MOST, at = (size_t)_i % STEPS_MOST, count = 0;
	SSL_CTX *server = next_hop_tls("DNS:localhost", NULL);

	while (whole[kind][count])
		count++;
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults) && at < count; f++) {
		size_t said, delivered = 0;
		/* "H" alone would wait for us: here it stands for an end without a word. */
		const char *script[48];
		struct next_hop *hop;
		struct talk talk;

		memcpy(script, whole[kind], count * sizeof(*script));
		script[at] = strcmp(faults[f], "H") == 0 ? NULL : faults[f];
		script[at + 1] = NULL;
		hop = next_hop_new(script, false, server);
		talk_begin(&talk, 1, 2, MESSAGE);
		talk.target.level = kind == 3 ? TLS_LEVEL_ENCRYPT : TLS_LEVEL_NONE;
		if (kind == 3)
			ck_assert_int_eq(tls_client_new(talk.target.level, NULL, TLS_MIN_1_2,
					     &talk.target.tls, NULL),
			    0);
		if (script[0] && *script[0] == 'A')
			talk_run(&talk, next_hop_port(hop));
		next_hop_end(hop);
		ck_assert_ptr_null(strchr(talk.outcomes, '?'));
		/* Unless it says so, nothing is called delivered that it has not read. */
		said = next_hop_messages(hop).len / strlen(MESSAGE);
		for (const char *c = talk.outcomes; *c; c++)
			delivered += *c == 'D';
		ck_assert(delivered <= said || strncmp(faults[f], "S 2", 3) == 0);
		next_hop_free(&hop);
		talk_end(&talk);
	}
	SSL_CTX_free(server);
}
END_TEST

/* A next hop that says nothing more, at each point where we wait. */
START_TEST(silence)
{
	size_t count = 0;
	const char *script[48];
	struct next_hop *hop;
	struct talk talk;

	while (whole[0][count])
		count++;
	if ((size_t)_i + 2 > count || *whole[0][_i] != 'S')
		return;
	memcpy(script, whole[0], count * sizeof(*script));
	script[_i] = "H";
	script[_i + 1] = NULL;
	hop = next_hop_new(script, false, NULL);
	talk_begin(&talk, 1, 2, MESSAGE);
	talk.limits = (struct courier_limits){ 40, 40, 40, 40, 40, 40, 40, 40, 40, 40 };
	talk_run(&talk, next_hop_port(hop));
	next_hop_end(hop);
	ck_assert_ptr_null(strchr(talk.outcomes, '?'));
	if (strcmp(talk.ended, "-") != 0)
		ck_assert_ptr_nonnull(strstr(talk.ended, "timed out"));
	next_hop_free(&hop);
	talk_end(&talk);
}
END_TEST

/* ---- sizes ------------------------------------------------------------------------------------
 */

START_TEST(many_recipients)
{
	const char *script[320] = { HELLO, PIPED };
	size_t at = 4;
	struct next_hop *hop;
	struct talk talk;

	for (int round = 0; round < 2; round++) {
		size_t count = round ? 50 : 100;

		script[at++] = FROM;
		for (size_t i = 0; i < count; i++)
			script[at++] = "C RCPT TO";
		script[at++] = "C DATA";
		for (size_t i = 0; i < count + 1; i++)
			script[at++] = "S 250 ok";
		script[at++] = GO;
		script[at++] = "D";
		script[at++] = OK;
	}
	script[at] = NULL;
	hop = next_hop_new(script, false, NULL);
	talk_begin(&talk, 150, 1, MESSAGE);
	talk_run(&talk, next_hop_port(hop));
	ck_assert_ptr_null(next_hop_end(hop));
	ck_assert_uint_eq(strspn(talk.outcomes, "D"), 150);
	next_hop_free(&hop);
	talk_end(&talk);
}
END_TEST

/* Larger than the sockets' buffers; every line begins with a dot, so ranges go in many parts. */
START_TEST(large_message)
{
	static const char *const scripts[2][20] = {
		{ HELLO, BARE, ONE, BYE, NULL },
		{ HELLO, CHUNK, FROM, TO(0), OK, OK, "B", OK, BYE, NULL },
	};
	size_t lines = 1000000;
	char *message = malloc(lines * 7 + 1);
	struct next_hop *hop = next_hop_new(scripts[_i], false, NULL);
	struct talk talk;

	for (size_t i = 0; i < lines; i++)
		memcpy(message + i * 7, i % 20 ? "abcde\r\n" : ".bcde\r\n", 7);
	message[lines * 7] = '\0';
	talk_begin(&talk, 1, 1, message);
	talk_run(&talk, next_hop_port(hop));
	ck_assert_ptr_null(next_hop_end(hop));
	ck_assert_str_eq(talk.outcomes, "D");
	ck_assert(pn_slice_equals(next_hop_messages(hop), pn_slice_of(message)));
	next_hop_free(&hop);
	talk_end(&talk);
	free(message);
}
END_TEST

/* Refused at once, long before the body is through; the next hop reads none of it. */
START_TEST(early_refusal)
{
	static const char *const scripts[2][20] = {
		{ HELLO, BARE, FROM, OK, TO(0), OK, "C DATA", GO, "S 552 5.3.4 too much", NULL },
		{ HELLO, CHUNK, FROM, TO(0), OK, OK, "C BDAT", "S 552 5.3.4 too much", NULL },
	};
	size_t len = (size_t)16 << 20;
	char *message = malloc(len + 1);
	struct next_hop *hop = next_hop_new(scripts[_i], false, NULL);
	struct talk talk;

	memset(message, 'x', len);
	message[len] = '\0';
	talk_begin(&talk, 1, 1, message);
	talk_run(&talk, next_hop_port(hop));
	ck_assert_ptr_null(next_hop_end(hop));
	/* The refusal may be lost in the reset; what may not happen is "delivered". */
	ck_assert(strcmp(talk.outcomes, "F") == 0 || strcmp(talk.outcomes, "T") == 0);
	next_hop_free(&hop);
	talk_end(&talk);
	free(message);
}
END_TEST

/* ---- addresses, names, parameters -------------------------------------------------------------
 */

START_TEST(next_address)
{
	static const char *const script[] = { "A", "S 421 busy", "H", NULL };
	struct next_hop *hop = next_hop_new(script, false, NULL);
	struct talk talk;

	/* "localhost" is 127.0.0.1 and ::1; nobody listens at the latter. */
	talk_begin(&talk, 1, 1, MESSAGE);
	talk.target.host = "localhost";
	talk_run(&talk, next_hop_port(hop));
	ck_assert_ptr_null(next_hop_end(hop));
	ck_assert_str_eq(talk.outcomes, "");
	ck_assert_ptr_nonnull(strstr(talk.ended, "451 4.4.1 localhost[::1]"));
	next_hop_free(&hop);
	talk_end(&talk);
}
END_TEST

START_TEST(no_such_host)
{
	struct talk talk;

	talk_begin(&talk, 1, 1, MESSAGE);
	talk.target.host = "";
	talk_run(&talk, 25);
	ck_assert_ptr_nonnull(strstr(talk.ended, "451 4.4.3"));
	talk_end(&talk);
}
END_TEST

/* RFC 6531 section 3.2, RFC 5890 section 2.3.2.1: by what this letter's addresses are. */
static const struct {
	const char *script[24];
	const char *sender, *second;
	const char *outcomes;
} utf8_addresses[] = {
	{ { HELLO, BARE, "C MAIL FROM:<a@xn--bcher-kva.example>\r\n", OK, TO(0), OK,
	      "C RCPT TO:<b@xn--bcher-kva.example>\r\n", OK, "C DATA", GO, "D", OK, BYE, NULL },
	    "a@B\xc3\xbc"
	    "cher.example",
	    "b@b\xc3\xbc"
	    "cher.example",
	    "DD" },
	{ { HELLO, BARE, "C MAIL FROM:<a@s.example>\r\n", OK, TO(0), OK, "C DATA", GO, "D", OK, BYE,
	      NULL },
	    "a@s.example", "\xc3\xbc@r.example", "DF" },
	{ { HELLO, BARE, BYE, NULL }, "\xc3\xbc@s.example", "b@r.example", "FF" },
	{ { HELLO, "S 250-hop\r\n250-8BITMIME\r\n250 SMTPUTF8",
	      "C MAIL FROM:<a@s.example> SMTPUTF8\r\n", OK, TO(0), OK,
	      "C RCPT TO:<\xc3\xbc@r.example>\r\n", OK, "C DATA", GO, "D", OK, BYE, NULL },
	    "a@s.example", "\xc3\xbc@r.example", "DD" },
	{ { HELLO, "S 250-hop\r\n250-8BITMIME\r\n250 SMTPUTF8", "C MAIL FROM:<a@s.example>\r\n", OK,
	      TO(0), OK, "C RCPT TO:<b@xn--bcher-kva.example>\r\n", OK, "C DATA", GO, "D", OK, BYE,
	      NULL },
	    "a@s.example",
	    "b@b\xc3\xbc"
	    "cher.example",
	    "DD" },
};

START_TEST(utf8_address)
{
	struct next_hop *hop = next_hop_new(utf8_addresses[_i].script, false, NULL);
	const char *fault;
	struct talk talk;

	talk_begin(&talk, 2, 1, MESSAGE);
	talk.envelope.sender = arena_text(&talk.arena, utf8_addresses[_i].sender);
	talk.envelope.recipients[1].address = arena_text(&talk.arena, utf8_addresses[_i].second);
	talk_run(&talk, next_hop_port(hop));
	fault = next_hop_end(hop);
	ck_assert_msg(!fault, "%s", fault);
	ck_assert_str_eq(talk.outcomes, utf8_addresses[_i].outcomes);
	if (strchr(talk.outcomes, 'F'))
		ck_assert_ptr_nonnull(strstr(talk.last_reply, "553 5.6.7"));
	next_hop_free(&hop);
	talk_end(&talk);
}
END_TEST

static const struct {
	const char *host, *names; /* whom we ask, whom the certificate is for */
	bool trusted, good;
} verified[] = {
	{ "localhost", "DNS:localhost", true, true },
	{ "127.0.0.1", "IP:127.0.0.1", true, true },
	{ "localhost", "DNS:localhost", false, false },
	{ "localhost", "DNS:other.example", true, false },
	{ "127.0.0.1", "DNS:localhost", true, false },
};

START_TEST(verified_name)
{
	static const char *const good[] = { HELLO, "S 250-hop\r\n250 STARTTLS", "C STARTTLS",
		"S 220 go", "T", "C EHLO", CHUNK, FROM, TO(0), "B", OK, OK, OK, BYE, NULL };
	char pem[] = "/tmp/courier-test-XXXXXX";
	int fd = mkstemp(pem);
	SSL_CTX *server = next_hop_tls(verified[_i].names, pem);
	struct next_hop *hop = next_hop_new(good, false, server);
	struct talk talk;

	talk_begin(&talk, 1, 1, MESSAGE);
	talk.target.host = verified[_i].host;
	talk.target.level = TLS_LEVEL_VERIFY;
	ck_assert_int_eq(tls_client_new(TLS_LEVEL_VERIFY, verified[_i].trusted ? pem : NULL,
			     TLS_MIN_1_2, &talk.target.tls, NULL),
	    0);
	talk_run(&talk, next_hop_port(hop));
	next_hop_end(hop);
	ck_assert_str_eq(talk.outcomes, verified[_i].good ? "D" : "");
	if (verified[_i].good)
		ck_assert(talk.letter.tls.verified);
	else
		ck_assert_ptr_nonnull(
		    strstr(talk.ended, strcmp(talk.target.host, "localhost") ? "4.7.5" : "[::1]"));
	next_hop_free(&hop);
	talk_end(&talk);
	SSL_CTX_free(server);
	close(fd);
	unlink(pem);
}
END_TEST

/* ---- demands ----------------------------------------------------------------------------------
 */

#define SECURED "S 250-hop\r\n250 STARTTLS", "C STARTTLS", "S 220 go", "T", "C EHLO", BARE

static const struct {
	struct mail_demand demand;
	const char *names; /* of the hop's certificate; it is trusted where ... */
	bool trusted;
	const char *const *script; /* without MAIL where the demand is not met */
	const char *outcomes, *reply;
} demands[] = {
	{ { 112, 0 }, "DNS:localhost", true, LIST(HELLO, BARE, BYE), "W",
	    "503 5.7.0 encryption too weak 0 less than 112" },
	{ { 0, PN_TLS_ENCRYPTED }, "DNS:localhost", true, LIST(HELLO, BARE, BYE), "W",
	    "503 5.7.0 encryption demanded and not offered" },
	{ { 112, 0, true }, "DNS:localhost", true, LIST(HELLO, BARE, BYE), "W",
	    "403 4.7.0 encryption too weak 0 less than 112" },
	{ { 112, PN_TLS_NAME, true }, "DNS:other.example", true, LIST(HELLO, SECURED, BYE), "W",
	    "403 4.7.0 certificate not valid for localhost" },
	{ { 112, 0 }, "DNS:localhost", true,
	    LIST(HELLO, "S 250-hop\r\n250 STARTTLS", "C STARTTLS", "S 454 not now", BYE), "W",
	    "503 5.7.0 encryption too weak 0 less than 112" },
	{ { 112, 0 }, "DNS:localhost", true,
	    LIST(HELLO, "S 250-hop\r\n250 STARTTLS", "C STARTTLS", "S 220 go", HELLO, BARE, BYE),
	    "W", "503 5.7.0 encryption too weak 0 less than 112" },
	{ { 128, PN_TLS_ENCRYPTED }, "DNS:localhost", false, LIST(HELLO, SECURED, ONE, BYE), "D",
	    "250 2.0.0 queued" },
	{ { 512, 0 }, "DNS:localhost", true, LIST(HELLO, SECURED, BYE), "W",
	    "503 5.7.0 encryption too weak 256 less than 512" },
	{ { 112, PN_TLS_TRUSTED }, "DNS:localhost", false, LIST(HELLO, SECURED, BYE), "W",
	    "503 5.7.0 certificate not trusted" },
	{ { 112, PN_TLS_TRUSTED }, "DNS:other.example", true, LIST(HELLO, SECURED, ONE, BYE), "D",
	    "250 2.0.0 queued" },
	{ { 112, PN_TLS_NAME }, "DNS:other.example", true, LIST(HELLO, SECURED, BYE), "W",
	    "503 5.7.0 certificate not valid for localhost" },
	{ { 112, PN_TLS_NAME }, "DNS:localhost", true, LIST(HELLO, SECURED, ONE, BYE), "D",
	    "250 2.0.0 queued" },
	/* The next letter, without a demand, goes on the same connection. */
	{ { 112, 0 }, "DNS:localhost", true, LIST(HELLO, BARE, ONE, BYE), "W,D",
	    "250 2.0.0 queued" },
};

/* The script is all that the next hop hears: no MAIL where TLS is too weak. */
START_TEST(demand)
{
	char pem[] = "/tmp/courier-test-XXXXXX";
	int fd = mkstemp(pem);
	SSL_CTX *server = next_hop_tls(demands[_i].names, pem);
	struct next_hop *hop = next_hop_new(demands[_i].script, false, server);
	struct talk talk;
	const char *fault;

	talk_begin(&talk, 1, strlen(demands[_i].outcomes) > 1 ? 2 : 1, MESSAGE);
	talk.demand = demands[_i].demand;
	talk.target.host = "localhost";
	talk.target.level = TLS_LEVEL_MAY;
	ck_assert_int_eq(tls_client_new(TLS_LEVEL_MAY, demands[_i].trusted ? pem : NULL,
			     TLS_MIN_1_2, &talk.target.tls, NULL),
	    0);
	talk_run(&talk, next_hop_port(hop));
	fault = next_hop_end(hop);
	ck_assert_msg(!fault, "%s", fault);
	ck_assert_str_eq(talk.outcomes, demands[_i].outcomes);
	ck_assert_str_eq(talk.last_reply, demands[_i].reply);
	ck_assert_str_eq(talk.ended, "-");
	next_hop_free(&hop);
	talk_end(&talk);
	SSL_CTX_free(server);
	close(fd);
	unlink(pem);
}
END_TEST

START_TEST(parameters)
{
	static const char *const script[] = { HELLO, PIPED,
		"C MAIL FROM:<> SIZE=31 RET=HDRS ENVID=e+3D1\r\n",
		"C RCPT TO:<r0@r.example> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a+2Bb@x\r\n",
		"C RCPT TO:<r1@r.example> NOTIFY=NEVER\r\n", "C RCPT TO:<r2@r.example>\r\n",
		"C RCPT TO:<r3@r.example> NOTIFY=FAILURE\r\n", "C DATA", OK, OK, OK, OK, OK, GO,
		"D", OK, BYE, NULL };
	struct next_hop *hop = next_hop_new(script, false, NULL);
	struct talk talk;

	talk_begin(&talk, 5, 1, MESSAGE);
	talk.envelope.sender = "";
	talk.envelope.ret = MAIL_RET_HDRS;
	talk.envelope.envid = "e+3D1";
	talk.envelope.recipients[0].notify = MAIL_NOTIFY_SUCCESS | MAIL_NOTIFY_FAILURE |
					     MAIL_NOTIFY_DELAY;
	talk.envelope.recipients[0].orcpt = "rfc822;a+2Bb@x";
	talk.envelope.recipients[1].notify = MAIL_NOTIFY_NEVER;
	talk.envelope.recipients[2].orcpt = "rfc822;x\r\nRSET";
	talk.envelope.recipients[3].notify = MAIL_NOTIFY_FAILURE;
	talk.envelope.recipients[4].address = "x>\r\nRCPT TO:<y@z";
	talk_run(&talk, next_hop_port(hop));
	ck_assert_ptr_null(next_hop_end(hop));
	ck_assert_str_eq(talk.outcomes, "DDDDF");
	next_hop_free(&hop);
	talk_end(&talk);
}
END_TEST

/* Freed by an owner who is in a hurry: with a look-up, with a connection under way. */
START_TEST(freed_early)
{
	static const char *const script[] = { "A", "H", NULL };
	struct next_hop *hop = next_hop_new(script, false, NULL);
	char host[80] = "";
	struct courier_parts parts;
	struct courier *courier;
	struct talk talk;

	talk_begin(&talk, 1, 1, MESSAGE);
	talk.target.port = next_hop_port(hop);
	parts = (struct courier_parts){
		.loop = talk.loop,
		.resolver = talk.resolver,
		.target = &talk.target,
		.limits = &talk.limits,
		.relay_name = "relay.test",
		.idle_ms = 1000,
		.events = &events,
		.arg = &talk,
	};
	ck_assert_int_eq(courier_new(&parts, &courier), 0);
	courier_free(&courier);
	ck_assert_ptr_null(courier);
	ck_assert_ptr_null(next_hop_end(hop));

	/* A label too long for DNS is refused on the spot, but by a thread: the second one waits
	 * for the first. */
	memset(host, 'x', sizeof(host) - 1);
	talk.target.host = host;
	ck_assert_int_eq(courier_new(&parts, &courier), 0);
	courier_free(&courier);
	host[0] = 'y';
	talk_run(&talk, 25);
	ck_assert_ptr_nonnull(strstr(talk.ended, "451 4.4.3"));
	next_hop_free(&hop);
	talk_end(&talk);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("courier");
	TCase *tc = tcase_create("courier");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(
	    tc, conversation, 0, 2 * (int)(sizeof(conversations) / sizeof(*conversations)));
	tcase_add_loop_test(
	    tc, fault_at_step, 0, STEPS_MOST * (int)(sizeof(whole) / sizeof(*whole)));
	tcase_add_loop_test(tc, silence, 0, STEPS_MOST);
	tcase_add_test(tc, many_recipients);
	tcase_add_loop_test(tc, large_message, 0, 2);
	tcase_add_loop_test(tc, early_refusal, 0, 2);
	tcase_add_test(tc, next_address);
	tcase_add_test(tc, no_such_host);
	tcase_add_loop_test(
	    tc, utf8_address, 0, (int)(sizeof(utf8_addresses) / sizeof(*utf8_addresses)));
	tcase_add_loop_test(tc, verified_name, 0, (int)(sizeof(verified) / sizeof(*verified)));
	tcase_add_loop_test(tc, demand, 0, (int)(sizeof(demands) / sizeof(*demands)));
	tcase_add_test(tc, parameters);
	tcase_add_test(tc, freed_early);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
