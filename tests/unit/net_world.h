/* SPDX-License-Identifier: Apache-2.0 */
/* net_world.h - a scene with certificates and TLS contexts, for tests of TLS. */
#ifndef TESTS_UNIT_NET_WORLD_H
#define TESTS_UNIT_NET_WORLD_H

#include "certs.h"
#include "net_scene.h"

struct world {
	struct scene scene;
	struct certs root;  /* signed the others */
	struct certs mx;    /* mx.example, 127.0.0.1, ::1: what `server` serves by default */
	struct certs other; /* other.example, and mx.example again */
	struct certs wild;  /* *.wild.example */
	char *root_path;
	SSL_CTX *server, *any, *verify;
};
extern struct world world;

void world_setup(void);
void world_teardown(void);
struct tls_identity world_identity(const struct certs *certs, const char *where);
SSL_CTX *world_server(const struct certs *certs);
SSL_CTX *world_client(enum tls_level level, const char *ca_file);
/* Connects the scene and runs until both ends know how the handshake ended. */
void world_shake(SSL_CTX *server, SSL_CTX *client, const char *name);
/* Lets the loop take a few turns, in which nothing needs to happen. */
void world_some_turns(void);

#endif
