/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls.c - unit tests of TLS contexts: whom they serve, accept and refuse. */
#include "net_world.h"
#include "run.h"
#include <check.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* ---- who it is ------------------------------------------------------------------------------- */

static const struct {
	const char *asked;
	const char *serves; /* a name of the certificate */
} sni[] = {
	{ "mx.example", "127.0.0.1" },
	{ "MX.Example", "127.0.0.1" },
	{ "other.example", "other.example" },
	{ "OTHER.example.", "other.example" },
	{ "a.wild.example", "a.wild.example" },
	{ "wild.example", "127.0.0.1" },
	{ "a.b.wild.example", "127.0.0.1" },
	{ "unknown.example", "127.0.0.1" },
	{ "*.wild.example", "a.wild.example" },
	{ "x", "127.0.0.1" },
	{ "127.0.0.1", "127.0.0.1" },
	{ NULL, "127.0.0.1" },
};

START_TEST(sni_chooses)
{
	X509 *certificate;

	world_shake(world.server, world.any, sni[_i].asked);
	ck_assert_int_eq(world.scene.client.secured, 0);
	ck_assert_int_eq(world.scene.server.secured, 0);
	certificate = SSL_get0_peer_certificate(world.scene.client.stream.tls);
	if (strcmp(sni[_i].serves, "127.0.0.1") == 0)
		ck_assert_int_eq(X509_check_ip_asc(certificate, sni[_i].serves, 0), 1);
	else
		ck_assert_int_eq(X509_check_host(certificate, sni[_i].serves, 0, 0, NULL), 1);
}
END_TEST

static const char *const good_names[] = { "mx.example", "MX.EXAMPLE", "mx.example.",
	"other.example", "b.wild.example", "127.0.0.1", "::1" };

START_TEST(verify_accepts)
{
	struct tls_facts facts;

	world_shake(world.server, world.verify, good_names[_i]);
	ck_assert_msg(world.scene.client.secured == 0, "%s", world.scene.client.why);
	tls_facts_of(world.scene.client.stream.tls, good_names[_i], &facts);
	ck_assert(facts.trusted && facts.verified);
	ck_assert_str_eq(facts.version, "TLSv1.3");
	ck_assert_int_ge(facts.bits, 128);
	ck_assert_ptr_nonnull(facts.cipher);
	tls_facts_of(world.scene.server.stream.tls, NULL, &facts);
	ck_assert(!facts.verified);
	ck_assert_str_eq(facts.version, "TLSv1.3");
}
END_TEST

enum server_kind { GOOD, EXPIRED, NOT_YET, SELF_SIGNED, STRANGER };
static const struct {
	enum server_kind kind;
	const char *name, *says;
} refused[] = {
	{ GOOD, "wrong.example", "hostname mismatch" },
	{ GOOD, "a.b.wild.example", "hostname mismatch" },
	{ GOOD, "127.0.0.2", "IP address mismatch" },
	{ EXPIRED, "mx.example", "expired" },
	{ NOT_YET, "mx.example", "not yet valid" },
	{ SELF_SIGNED, "mx.example", "self-signed" },
	{ STRANGER, "mx.example", "unable to get local issuer" },
};

static SSL_CTX *
bad_server(enum server_kind kind)
{
	struct certs stranger = certs_authority("Stranger"), certs;
	SSL_CTX *ctx;

	if (kind == GOOD) {
		certs_free(&stranger);
		SSL_CTX_up_ref(world.server);
		return world.server;
	}
	if (kind == EXPIRED)
		certs = certs_issue(&world.root, "DNS:mx.example", -20, -1);
	else if (kind == NOT_YET)
		certs = certs_issue(&world.root, "DNS:mx.example", 2, 10);
	else
		certs = certs_issue(kind == STRANGER ? &stranger : NULL, "DNS:mx.example", -1, 10);
	ctx = world_server(&certs);
	certs_free(&certs);
	certs_free(&stranger);
	return ctx;
}

START_TEST(verify_refuses)
{
	SSL_CTX *ctx = bad_server(refused[_i].kind);
	struct tls_facts facts;

	world_shake(ctx, world.verify, refused[_i].name);
	ck_assert_int_eq(world.scene.client.secured, -EKEYREJECTED);
	ck_assert_msg(
	    strstr(world.scene.client.why, refused[_i].says) != NULL, "%s", world.scene.client.why);
	ck_assert_int_lt(world.scene.server.secured, 0); /* it got the alert */
	tls_facts_of(world.scene.client.stream.tls, refused[_i].name, &facts);
	ck_assert(!facts.verified);
	world_some_turns();
	ck_assert_int_eq(world.scene.client.count[SCENE_SECURED], 1);
	ck_assert_int_eq(world.scene.client.count[SCENE_LOST], 0);
	ck_assert_int_eq(world.scene.client.count[SCENE_INPUT], 0);
	SSL_CTX_free(ctx);
}
END_TEST

/* Opportunistic: the same certificates are good enough, and nobody says that they were checked. */
START_TEST(any_certificate_will_do)
{
	SSL_CTX *ctx = bad_server(refused[_i].kind);
	struct tls_facts facts;

	world_shake(ctx, world.any, refused[_i].name);
	ck_assert_int_eq(world.scene.client.secured, 0);
	tls_facts_of(world.scene.client.stream.tls, refused[_i].name, &facts);
	ck_assert(!facts.verified);
	SSL_CTX_free(ctx);
}
END_TEST

START_TEST(verify_wants_a_name)
{
	scene_connect(&world.scene);
	ck_assert_int_eq(
	    stream_start_tls(&world.scene.client.stream, world.verify, false, NULL), -EINVAL);
}
END_TEST

/* ---- contexts -------------------------------------------------------------------------------- */

static char *
encrypted_key(void)
{
	BIO *in = BIO_new_mem_buf(world.mx.key, -1), *out = BIO_new(BIO_s_mem());
	EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
	char *data, *text;
	long len;

	PEM_write_bio_PrivateKey(
	    out, key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL);
	len = BIO_get_mem_data(out, &data);
	text = strndup(data, (size_t)len);
	EVP_PKEY_free(key);
	BIO_free(in);
	BIO_free(out);
	return text;
}

START_TEST(context_refuses)
{
	char *locked = encrypted_key(), broken[2000];
	const struct {
		const char *certificate, *key, *says;
	} cases[] = {
		{ "", world.mx.key, "bad.pem: not a PEM certificate chain" },
		{ "garbage", world.mx.key, "bad.pem: not a PEM certificate chain" },
		{ world.mx.key, world.mx.key, "bad.pem: not a PEM certificate chain" },
		{ broken, world.mx.key, "bad.pem: not a PEM certificate chain" },
		{ world.mx.certificate, "", "bad.pem: the key is not an unencrypted PEM" },
		{ world.mx.certificate, world.mx.certificate,
		    "bad.pem: the key is not an unencrypted PEM" },
		{ world.mx.certificate, locked, "bad.pem: the key is not an unencrypted PEM" },
		{ world.mx.certificate, world.other.key,
		    "bad.pem: the key is not that of the certificate" },
	};

	snprintf(broken, sizeof(broken),
	    "%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	    world.mx.certificate);
	for (int i = 0; i < COUNT(cases); i++) {
		struct tls_identity bad[2] = { world_identity(&world.mx, "mx.pem"),
			{ pn_slice_of(cases[i].certificate), pn_slice_of(cases[i].key),
			    "bad.pem" } };
		struct pn_error err = { 0 };
		SSL_CTX *ctx = NULL;

		ck_assert_int_eq(tls_server_new(&bad[1], 1, TLS_MIN_1_2, &ctx, &err), -EINVAL);
		ck_assert_msg(strstr(err.text, cases[i].says) == err.text, "%s", err.text);
		ck_assert_int_eq(tls_server_new(bad, 2, TLS_MIN_1_2, &ctx, &err), -EINVAL);
		ck_assert_msg(strstr(err.text, cases[i].says) == err.text, "%s", err.text);
		ck_assert_ptr_null(ctx);
		ck_assert_uint_eq(ERR_peek_error(), 0);
	}
	free(locked);
}
END_TEST

START_TEST(client_context_refuses)
{
	struct pn_error err = { 0 };
	SSL_CTX *ctx = NULL;

	ck_assert_int_eq(
	    tls_client_new(TLS_LEVEL_VERIFY, "/nonexistent.pem", TLS_MIN_1_2, &ctx, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent.pem"));
	ck_assert_int_eq(tls_client_new(TLS_LEVEL_NONE, NULL, TLS_MIN_1_2, &ctx, &err), -EINVAL);
	ck_assert_int_eq(tls_server_new(NULL, 0, TLS_MIN_1_2, &ctx, &err), -EINVAL);
	ck_assert_ptr_null(ctx);
}
END_TEST

static const struct {
	int most;
	enum tls_version least;
	bool good;
} versions[] = {
	{ TLS1_3_VERSION, TLS_MIN_1_2, true },
	{ TLS1_3_VERSION, TLS_MIN_1_3, true },
	{ TLS1_2_VERSION, TLS_MIN_1_2, true },
	{ TLS1_2_VERSION, TLS_MIN_1_3, false },
	{ TLS1_1_VERSION, TLS_MIN_1_2, false },
};

START_TEST(version_least)
{
	struct tls_identity one = world_identity(&world.mx, "mx.pem");
	struct tls_facts facts;
	struct pn_error err;
	SSL_CTX *server = NULL, *client = world_client(TLS_LEVEL_MAY, NULL);

	ck_assert_int_eq(tls_server_new(&one, 1, versions[_i].least, &server, &err), 0);
	SSL_CTX_set_min_proto_version(client, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(client, versions[_i].most);
	ck_assert_int_eq(SSL_CTX_set_cipher_list(client, "ALL:@SECLEVEL=0"), 1);
	world_shake(server, client, "mx.example");
	ck_assert_int_eq(world.scene.server.secured == 0, versions[_i].good);
	ck_assert_int_eq(world.scene.client.secured == 0, versions[_i].good);
	tls_facts_of(world.scene.server.stream.tls, NULL, &facts);
	if (versions[_i].most == TLS1_2_VERSION && versions[_i].good)
		ck_assert_str_eq(facts.version, "TLSv1.2");
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

static SSL_SESSION *ticket;

static int
keep_ticket(SSL *tls, SSL_SESSION *session)
{
	SSL_SESSION_free(ticket);
	ticket = SSL_SESSION_dup(session); /* the original ends with a connection cut short */
	return 0;
}

static const struct {
	int version;
	const char *name;
} resumptions[] = {
	{ TLS1_3_VERSION, "mx.example" },
	{ TLS1_2_VERSION, "mx.example" },
	{ TLS1_3_VERSION, "a.wild.example" },
	{ TLS1_2_VERSION, "other.example" },
};

/* The server keeps nothing; its ticket lets the client come back without a full handshake. */
START_TEST(ticket_resumes)
{
	SSL_CTX *client = world_client(TLS_LEVEL_VERIFY, world.root_path);
	struct address address;
	int listener, fd, status;
	pid_t pid;

	SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(client, keep_ticket);
	SSL_CTX_set_max_proto_version(client, resumptions[_i].version);
	world_shake(world.server, client, resumptions[_i].name);
	scene_say(&world.scene.server, "220 the ticket comes with this\n");
	scene_run(&world.scene, scene_client_got);
	ck_assert_ptr_nonnull(ticket);
	ck_assert(!SSL_session_reused(world.scene.client.stream.tls));
	stream_close(&world.scene.client.stream);
	stream_close(&world.scene.server.stream);

	listener = scene_listen(&address);
	world.scene.server.count[SCENE_SECURED] = 0;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address.sa, address.len), 0);
	ck_assert_int_eq(stream_open(&world.scene.server.stream, world.scene.loop,
			     accept4(listener, NULL, NULL, SOCK_NONBLOCK), &scene_events),
	    0);
	ck_assert_int_eq(stream_start_tls(&world.scene.server.stream, world.server, true, NULL), 0);
	pid = fork();
	if (pid == 0) {
		SSL *tls = SSL_new(client);

		SSL_set_fd(tls, fd);
		SSL_set_session(tls, ticket);
		tls_expect(tls, resumptions[_i].name);
		_exit(SSL_connect(tls) == 1 && SSL_session_reused(tls) ? 0 : 1);
	}
	world.scene.client.count[SCENE_SECURED] = 1;
	scene_run(&world.scene, scene_secured);
	ck_assert_int_eq(world.scene.server.secured, 0);
	ck_assert_int_eq(SSL_session_reused(world.scene.server.stream.tls), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(fd);
	close(listener);
	SSL_SESSION_free(ticket);
	ticket = NULL;
	SSL_CTX_free(client);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net_tls");
	TCase *tc = tcase_create("net_tls");

	tcase_add_checked_fixture(tc, world_setup, world_teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, sni_chooses, 0, COUNT(sni));
	tcase_add_loop_test(tc, verify_accepts, 0, COUNT(good_names));
	tcase_add_loop_test(tc, verify_refuses, 0, COUNT(refused));
	tcase_add_loop_test(tc, any_certificate_will_do, 0, COUNT(refused));
	tcase_add_test(tc, verify_wants_a_name);
	tcase_add_test(tc, context_refuses);
	tcase_add_test(tc, client_context_refuses);
	tcase_add_loop_test(tc, version_least, 0, COUNT(versions));
	tcase_add_loop_test(tc, ticket_resumes, 0, COUNT(resumptions));
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
