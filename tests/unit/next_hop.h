/* SPDX-License-Identifier: Apache-2.0 */
/*
 * next_hop.h - a next hop that follows a script, in a thread of its own on a loopback port.
 *
 * Steps: "S text" says a line, "C text" reads a line that begins so, "D" reads a message up to its
 * dot, "B" reads BDAT and its octets, "T" is the TLS handshake, "A" closes and waits for the next
 * connection, "R" resets it, "W" waits until the peer has said something, "H" until it has closed.
 * The script ends with NULL; then the connection is closed. "L n" goes back to the step after the
 * last "A" n times more.
 */
#ifndef TESTS_UNIT_NEXT_HOP_H
#define TESTS_UNIT_NEXT_HOP_H

#include <core/base/buf.h>
#include <openssl/ssl.h>

struct next_hop;

/* `dribble`: says everything one byte at a time. `tls` may be NULL. */
struct next_hop *next_hop_new(const char *const *script, bool dribble, SSL_CTX *tls);
uint16_t next_hop_port(const struct next_hop *hop);
/* Joins the thread. NULL when all went by the script, else what did not; static. */
const char *next_hop_end(struct next_hop *hop);
/* All messages it read, one after another, unstuffed. Valid until freed. */
struct pn_slice next_hop_messages(struct next_hop *hop);
void next_hop_free(struct next_hop **hop);

/* A self-signed P-256 certificate for "DNS:name,IP:..."; its PEM goes to the file unless NULL. */
SSL_CTX *next_hop_tls(const char *names, const char *pem);

#endif
