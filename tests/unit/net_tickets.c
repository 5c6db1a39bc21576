/* SPDX-License-Identifier: Apache-2.0 */
/* net_tickets.c - TLS sessions that are resumed with another context, another process, later. */
#include <check.h>
#include <core/net/tls.h>
#include <core/net/tls_tickets.h>
#include <errno.h>
#include <stdio.h>

#include "certs.h"
#include "run.h"

static struct certs mx, other;
static struct tls_ticket_seed seed;

static void
setup(void)
{
	mx = certs_issue(NULL, "DNS:mx.example", -1, 10);
	other = certs_issue(NULL, "DNS:other.example", -1, 10);
	ck_assert_int_eq(tls_ticket_seed_make(&seed), 0);
	if (seed.period > 0)   /* not where the machine has just started */
		seed.period--; /* the middle of its life, however near the end of a period we are */
}

static void
teardown(void)
{
	certs_free(&mx);
	certs_free(&other);
}

static SSL_CTX *
server(struct tls_tickets *tickets)
{
	struct tls_identity both[] = {
		{ pn_slice_of(mx.certificate), pn_slice_of(mx.key), "mx" },
		{ pn_slice_of(other.certificate), pn_slice_of(other.key), "other" },
	};
	struct pn_error err;
	SSL_CTX *ctx = NULL;

	ck_assert_int_eq(tls_server_new(both, 2, TLS_MIN_1_2, &ctx, &err), 0);
	if (tickets)
		ck_assert_int_eq(tls_server_tickets(ctx, tickets), 0);
	return ctx;
}

/* A connection; `*session` is what the client shows, and then what it has got. */
static bool
resumes(SSL_CTX *ctx, const char *name, int version, SSL_SESSION **session)
{
	char host[64]; /* the macro wants it to be changeable */
	SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
	SSL *client = SSL_new(client_ctx), *peer = SSL_new(ctx);
	BIO *near, *far;
	bool reused;
	char byte;

	ck_assert_int_eq(BIO_new_bio_pair(&near, 0, &far, 0), 1);
	SSL_set_bio(client, near, near);
	SSL_set_bio(peer, far, far);
	SSL_set_max_proto_version(client, version);
	snprintf(host, sizeof(host), "%s", name);
	SSL_set_tlsext_host_name(client, host);
	if (*session)
		ck_assert_int_eq(SSL_set_session(client, *session), 1);
	SSL_set_connect_state(client);
	SSL_set_accept_state(peer);
	for (int i = 0; i < 10; i++) {
		SSL_do_handshake(client);
		SSL_do_handshake(peer);
	}
	ck_assert(SSL_is_init_finished(client) && SSL_is_init_finished(peer));
	ck_assert_int_lt(SSL_read(client, &byte, 1), 1); /* a ticket of TLS 1.3 comes by itself */
	reused = SSL_session_reused(client);
	SSL_SESSION_free(*session);
	*session = SSL_get1_session(client);
	ck_assert(SSL_SESSION_is_resumable(*session));
	SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else it is bad */
	SSL_free(client);
	SSL_free(peer);
	SSL_CTX_free(client_ctx);
	return reused;
}

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

START_TEST(with_another_context)
{
	for (int named = 0; named < 2; named++) {
		const char *name = named ? "other.example" : "mx.example";
		struct tls_tickets *tickets = tls_tickets_new(&seed);
		SSL_CTX *before = server(tickets), *after = server(tickets), *alone = server(NULL);
		SSL_SESSION *session = NULL;

		tls_tickets_release(&tickets); /* the contexts hold them */
		ck_assert(!resumes(before, name, versions[_i], &session));
		ck_assert(resumes(before, name, versions[_i], &session));
		SSL_CTX_free(before);
		ck_assert(resumes(after, name, versions[_i], &session));
		ck_assert(!resumes(alone, name, versions[_i], &session));
		SSL_SESSION_free(session);
		SSL_CTX_free(after);
		SSL_CTX_free(alone);
	}
}
END_TEST

START_TEST(in_another_process)
{
	struct tls_tickets *tickets = tls_tickets_new(&seed), *next;
	char text[TLS_TICKET_SEED_TEXT];
	struct tls_ticket_seed copy;
	SSL_CTX *before = server(tickets), *after;
	SSL_SESSION *session = NULL;

	tls_ticket_seed_format(&seed, text);
	ck_assert_int_eq(tls_ticket_seed_parse(text, &copy), 0);
	tls_ticket_seed_forward(&copy);
	next = tls_tickets_new(&copy);
	after = server(next);
	ck_assert(!resumes(before, "mx.example", versions[_i], &session));
	ck_assert(resumes(after, "mx.example", versions[_i], &session));
	SSL_SESSION_free(session);
	tls_tickets_release(&tickets);
	tls_tickets_release(&next);
	SSL_CTX_free(before);
	SSL_CTX_free(after);
}
END_TEST

/* A key opens for as long again as it seals; then it is gone. */
START_TEST(keys_change)
{
	struct tls_tickets *one = tls_tickets_new(&seed), *two = tls_tickets_new(&seed);
	SSL_CTX *before = server(one), *after = server(two);
	SSL_SESSION *session = NULL, *old;

	ck_assert(!resumes(before, "mx.example", TLS1_2_VERSION, &session));
	old = SSL_SESSION_dup(session);
	tls_tickets_age(two, TLS_TICKETS_PERIOD_S);
	ck_assert(resumes(after, "mx.example", TLS1_2_VERSION, &session)); /* and has a new one */
	tls_tickets_age(two, TLS_TICKETS_PERIOD_S);
	ck_assert(resumes(after, "mx.example", TLS1_2_VERSION, &session));
	ck_assert(!resumes(after, "mx.example", TLS1_2_VERSION, &old));
	SSL_SESSION_free(session);
	SSL_SESSION_free(old);
	tls_tickets_release(&one);
	tls_tickets_release(&two);
	SSL_CTX_free(before);
	SSL_CTX_free(after);
}
END_TEST

START_TEST(seeds)
{
	static const char *const bad[] = { "", "1", "1 ", "x 00", "-1 00", "1 zz",
		"1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
		"1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eg0",
		"1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20" };
	struct tls_ticket_seed one = { 5, { 1, 2, 3 } }, two = one;
	char text[TLS_TICKET_SEED_TEXT], other_text[TLS_TICKET_SEED_TEXT];

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_int_eq(tls_ticket_seed_parse(bad[i], &two), -EINVAL);
	two = one;
	/* In one step or in many; never back. */
	tls_ticket_seed_forward_to(&one, 20);
	for (int64_t i = 0; i <= 20; i++)
		tls_ticket_seed_forward_to(&two, i);
	tls_ticket_seed_forward_to(&two, 0);
	ck_assert_int_eq(one.period, 19);
	tls_ticket_seed_format(&one, text);
	tls_ticket_seed_format(&two, other_text);
	ck_assert_str_eq(text, other_text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net_tickets");
	TCase *tc = tcase_create("net_tickets");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, with_another_context, 0, 2);
	tcase_add_loop_test(tc, in_another_process, 0, 2);
	tcase_add_test(tc, keys_change);
	tcase_add_test(tc, seeds);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
