/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_world.c - certificates, contexts and a scene for tests of TLS.
 *
 * Called by tests/unit/net_tls*.c as a fixture: each test has a world of its own.
 */
#include "net_world.h"
#include <check.h>
#include <stdlib.h>
#include <unistd.h>

struct world world;

struct tls_identity
world_identity(const struct certs *certs, const char *where)
{
	return (
	    struct tls_identity){ pn_slice_of(certs->certificate), pn_slice_of(certs->key), where };
}

SSL_CTX *
world_server(const struct certs *certs)
{
	struct tls_identity one = world_identity(certs, "test.pem");
	struct pn_error err;
	SSL_CTX *ctx = NULL;

	ck_assert_msg(tls_server_new(&one, 1, TLS_MIN_1_2, &ctx, &err) == 0, "%s", err.text);
	return ctx;
}

SSL_CTX *
world_client(enum tls_level level, const char *ca_file)
{
	struct pn_error err;
	SSL_CTX *ctx = NULL;

	ck_assert_msg(tls_client_new(level, ca_file, TLS_MIN_1_2, &ctx, &err) == 0, "%s", err.text);
	return ctx;
}

void
world_setup(void)
{
	struct tls_identity identities[3];
	struct pn_error err;

	world.root = certs_authority("Test Root");
	world.mx = certs_issue(&world.root, "DNS:mx.example,IP:127.0.0.1,IP:::1", -1, 10);
	world.other = certs_issue(&world.root, "DNS:Other.Example,DNS:mx.example", -1, 10);
	world.wild = certs_issue(&world.root, "DNS:*.wild.example", -1, 10);
	world.root_path = certs_write(world.root.certificate);
	identities[0] = world_identity(&world.mx, "mx.pem");
	identities[1] = world_identity(&world.other, "other.pem");
	identities[2] = world_identity(&world.wild, "wild.pem");
	ck_assert_int_eq(tls_server_new(identities, 3, TLS_MIN_1_2, &world.server, &err), 0);
	world.any = world_client(TLS_LEVEL_MAY, NULL);
	world.verify = world_client(TLS_LEVEL_VERIFY, world.root_path);
	scene_init(&world.scene);
}

void
world_teardown(void)
{
	scene_free(&world.scene);
	SSL_CTX_free(world.server);
	SSL_CTX_free(world.any);
	SSL_CTX_free(world.verify);
	unlink(world.root_path);
	free(world.root_path);
	certs_free(&world.root);
	certs_free(&world.mx);
	certs_free(&world.other);
	certs_free(&world.wild);
}

static void
stop_now(struct loop_timer *timer)
{
	loop_stop(world.scene.loop);
}

void
world_some_turns(void)
{
	struct loop_timer timer = { .fire = stop_now };

	for (int i = 0; i < 3; i++) {
		loop_timer_set(world.scene.loop, &timer, 1);
		loop_run(world.scene.loop);
	}
}

void
world_shake(SSL_CTX *server, SSL_CTX *client, const char *name)
{
	scene_connect(&world.scene);
	ck_assert_int_eq(stream_start_tls(&world.scene.server.stream, server, true, NULL), 0);
	ck_assert_int_eq(stream_start_tls(&world.scene.client.stream, client, false, name), 0);
	scene_run(&world.scene, scene_secured);
}
