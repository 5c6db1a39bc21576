/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_tickets.h - keys of session tickets: they outlive a reload and an upgrade, and change.
 *
 * A ticket is opened with the key of its time, so a client resumes its session whichever context
 * or relay process made it. Keys follow from a seed that goes forward every two hours and never
 * back: what is in the memory of a relay opens no older ones. Nothing of it is ever
 * written anywhere.
 */
#ifndef CORE_NET_TLS_TICKETS_H
#define CORE_NET_TLS_TICKETS_H

#include <openssl/ssl.h>
#include <postern/base.h>

#define TLS_TICKETS_PERIOD_S 7200 /* a ticket lives so long, a key twice that */

/* What one process hands to the next; a secret. */
struct tls_ticket_seed {
	int64_t period; /* of the time since this machine was started */
	uint8_t bytes[32];
};
/* A new one. -EIO: no random bytes. */
int tls_ticket_seed_make(struct tls_ticket_seed *ret);
/* Goes forward to the period before this one: what is before it is gone. */
void tls_ticket_seed_forward(struct tls_ticket_seed *seed);
/* The same with `period` as this one. */
void tls_ticket_seed_forward_to(struct tls_ticket_seed *seed, int64_t period);
/* As text, and back: -EINVAL. */
#define TLS_TICKET_SEED_TEXT 96
void tls_ticket_seed_format(const struct tls_ticket_seed *seed, char ret[TLS_TICKET_SEED_TEXT]);
int tls_ticket_seed_parse(const char *text, struct tls_ticket_seed *ret);

/* Any thread; counted by reference. */
struct tls_tickets;
struct tls_tickets *tls_tickets_new(const struct tls_ticket_seed *seed);
void tls_tickets_release(struct tls_tickets **tickets);
/* The context holds them from now on. For one of several identities: tls_server_tickets(). -ENOMEM
 */
int tls_tickets_use(struct tls_tickets *tickets, SSL_CTX *ctx);
/* For tests: as if so many seconds more had passed. */
void tls_tickets_age(struct tls_tickets *tickets, int64_t seconds);

#endif
