/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls13.h - the least of a TLS 1.3 client (RFC 8446), for the load generator alone.
 *
 * The generator shares the processors with what it measures, and libssl makes a client of it that
 * pays twice what the server pays: it decodes the same certificate and builds the same lists of
 * algorithms anew for each connection. This one asks the server for everything that a real client
 * asks for: a full handshake with a fresh X25519 share, its certificate, a signature, of which one
 * in sixteen is verified, a ticket. It offers TLS_AES_128_GCM_SHA256, X25519 and ECDSA with P-256,
 * nothing else.
 *
 * No client for anything but measuring: nobody's identity is checked, and no secret is wiped.
 */
#ifndef TESTS_BENCH_TLS13_H
#define TESTS_BENCH_TLS13_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls13;

/* NULL without memory. To be used for one connection after the other. */
struct tls13 *tls13_new(void);
void tls13_free(struct tls13 *tls);

/* Forgets what was, and has a ClientHello ready to be sent: 0 or -1. */
int tls13_begin(struct tls13 *tls);
/* Through the handshake: from now on there is text to be written and read. */
bool tls13_is_ready(const struct tls13 *tls);
/* Seals text into the output: 0 or -1. */
int tls13_write(struct tls13 *tls, const char *text, size_t len);
/* Sends what is in the output: 1 all of it, 0 the rest when the socket can, -1 and errno. */
int tls13_send(struct tls13 *tls, int fd);
/* As recv(2), into the input. */
ssize_t tls13_receive(struct tls13 *tls, int fd);
/*
 * Takes records off the input: 1 with text that is valid until the next call, 0 when there is none,
 * -1 when the server said no or nonsense; `why` says which.
 */
int tls13_next(struct tls13 *tls, const char **text, size_t *len, const char **why);

#endif
