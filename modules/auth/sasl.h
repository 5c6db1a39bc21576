/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sasl.h - the server's side of SASL PLAIN (RFC 4616), EXTERNAL (RFC 4422), LOGIN and SCRAM-SHA-256
 * (RFC 7677), the last two by GNU SASL.
 *
 * Of PLAIN and LOGIN it only takes the credentials out; whether they are right is auth.c's to say.
 * Of SCRAM it judges the proof by the keys that it is given. Memory only, but for that question. A
 * `struct sasl` may be used by any thread, an exchange by one at a time.
 */
#ifndef MODULES_AUTH_SASL_H
#define MODULES_AUTH_SASL_H

#include "scram.h"
#include <postern/base.h>

struct sasl;
int sasl_new(struct sasl **ret);
void sasl_free(struct sasl **sasl);

/*
 * SCRAM: asked once, inside a step, for the keys of `user`. What it returns other than 0 is what
 * the step returns.
 */
typedef int sasl_keys_fn(void *arg, const char *user, struct scram_keys *ret);

struct sasl_exchange {
	bool complete;  /* the fields below are what the client said */
	char *user;     /* UTF-8 as it came, never NULL when complete */
	char *acts_for; /* PLAIN's authorization identity, NULL: none */
	char *password; /* prepared by sasl_prepare(); NULL for SCRAM */
	bool external; /* RFC 4422 appendix A: `user` is whom the client wants to be, "": whoever */
	bool scram;
	bool plus;               /* SCRAM bound to the connection (RFC 5802 section 6) */
	bool plus_offered;       /* set by the caller of sasl_scram_step() */
	struct pn_slice binding; /* the same: "tls-exporter", for this step */
	bool proven; /* SCRAM: the client's proof fits the keys; one more round follows */
	struct scram_user known; /* SCRAM: whom the keys were found for; scram_round.c's */
	struct sasl_session *session;
};

#define SASL_EXTERNAL   "EXTERNAL"
#define SASL_SCRAM      "SCRAM-SHA-256"
#define SASL_SCRAM_PLUS "SCRAM-SHA-256-PLUS"
/* `mechanism` in upper case. */
int sasl_exchange_new(struct sasl *sasl, const char *mechanism, struct sasl_exchange **ret);
/* `data` may be NULL in the response: the client sent nothing. 1: send *ret_challenge, which lives
 * until the next step; 0: complete; -EINVAL: not what the mechanism says. */
int sasl_exchange_step(
    struct sasl_exchange *exchange, struct pn_slice response, struct pn_slice *ret_challenge);
/*
 * The same for SCRAM. -EACCES: the proof does not fit. RFC 4954 section 4 has no room for the
 * server's own proof in its 235, so it is a challenge (`proven` is set) and the client's answer to
 * it empty.
 */
int sasl_scram_step(struct sasl_exchange *exchange, struct pn_slice response, sasl_keys_fn *keys_of,
    void *arg, struct pn_slice *ret_challenge);
/* Wipes. Takes void * so that pn_auth_keep() can have it. */
void sasl_exchange_drop(void *exchange);

/*
 * RFC 4013: one spelling for what looks alike, where it can be had in the 1,024 bytes that a field
 * may have; else the text as it is. The caller wipes and frees; NULL: out of memory.
 */
char *sasl_prepare(const char *password);
/* NULL is fine. */
void sasl_wipe(char *text);

#endif
