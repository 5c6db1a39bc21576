/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sasl.c - takes user and password out of SASL exchanges, or judges the proof of SCRAM.
 *
 * Called by auth.c. GNU SASL reads the messages of LOGIN and SCRAM, and asks in a callback whether
 * the credentials are right; ours says yes and keeps them, because looking them up may block and
 * this must not.
 */
#include "sasl.h"
#include "plain.h"
#include <errno.h>
#include <gsasl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define FIELD_MOST 1024 /* bytes of a user name or password */

struct sasl {
	Gsasl *context;
};

struct sasl_session {
	Gsasl_session *handle; /* NULL: PLAIN, EXTERNAL */
	bool login;
	unsigned round;
	char *challenge;
	/* SCRAM, during a step */
	sasl_keys_fn *keys_of;
	void *arg;
	int refused; /* what keys_of returned */
};

/* ---- credentials ----------------------------------------------------------------------------- */

void
sasl_wipe(char *text)
{
	if (text)
		sodium_memzero(text, strlen(text));
	free(text);
}

static bool
is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

char *
sasl_prepare(const char *password)
{
	char *prepared = NULL;

	if (!is_ascii(password) &&
	    gsasl_saslprep(password, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) == GSASL_OK &&
	    strlen(prepared) <= FIELD_MOST)
		return prepared;
	sasl_wipe(prepared); /* a letter may become eighteen */
	return strdup(password);
}

/* A copy of a property; NULL where it is missing or too long. */
static char *
property(Gsasl_session *handle, Gsasl_property which)
{
	const char *text = gsasl_property_fast(handle, which);

	return text && strlen(text) <= FIELD_MOST ? strdup(text) : NULL;
}

static int
keep_credentials(Gsasl_session *handle)
{
	struct sasl_exchange *exchange = gsasl_session_hook_get(handle);
	const char *password = gsasl_property_fast(handle, GSASL_PASSWORD);

	exchange->user = property(handle, GSASL_AUTHID);
	exchange->acts_for = property(handle, GSASL_AUTHZID);
	if (password && strlen(password) <= FIELD_MOST)
		exchange->password = sasl_prepare(password);
	return exchange->user && exchange->password ? GSASL_OK : GSASL_AUTHENTICATION_ERROR;
}

static bool
set_base64(Gsasl_session *handle, Gsasl_property which, const uint8_t *bytes, size_t len)
{
	char text[SCRAM_KEY_SIZE * 2];

	sodium_bin2base64(text, sizeof(text), bytes, len, sodium_base64_VARIANT_ORIGINAL);
	return gsasl_property_set(handle, which, text) == GSASL_OK;
}

/* All of them at the first question: the library keeps them until they are needed. */
static int
set_keys(Gsasl_session *handle)
{
	struct sasl_exchange *exchange = gsasl_session_hook_get(handle);
	struct sasl_session *session = exchange->session;
	struct scram_keys keys;
	char iterations[12];
	bool set;

	if (exchange->user || !session->keys_of)
		return GSASL_NO_CALLBACK;
	exchange->user = property(handle, GSASL_AUTHID);
	exchange->acts_for = property(handle, GSASL_AUTHZID);
	if (!exchange->user)
		return GSASL_AUTHENTICATION_ERROR;
	session->refused = session->keys_of(session->arg, exchange->user, &keys);
	if (session->refused != 0)
		return GSASL_AUTHENTICATION_ERROR;
	snprintf(iterations, sizeof(iterations), "%u", keys.iterations);
	set = gsasl_property_set(handle, GSASL_SCRAM_ITER, iterations) == GSASL_OK &&
	      set_base64(handle, GSASL_SCRAM_SALT, keys.salt, sizeof(keys.salt)) &&
	      set_base64(handle, GSASL_SCRAM_STOREDKEY, keys.stored, sizeof(keys.stored)) &&
	      set_base64(handle, GSASL_SCRAM_SERVERKEY, keys.server, sizeof(keys.server));
	sodium_memzero(&keys, sizeof(keys));
	return set ? GSASL_OK : GSASL_MALLOC_ERROR;
}

static int
set_binding(Gsasl_session *handle)
{
	const struct sasl_exchange *exchange = gsasl_session_hook_get(handle);

	if (exchange->binding.len == 0 || exchange->binding.len > SCRAM_KEY_SIZE)
		return GSASL_NO_CB_TLS_EXPORTER;
	return set_base64(handle, GSASL_CB_TLS_EXPORTER, (const uint8_t *)exchange->binding.data,
		   exchange->binding.len)
		   ? GSASL_OK
		   : GSASL_MALLOC_ERROR;
}

static int
callback(Gsasl *context, Gsasl_session *handle, Gsasl_property what)
{
	switch (what) {
	case GSASL_VALIDATE_SIMPLE:
		return keep_credentials(handle);
	case GSASL_SCRAM_ITER:
	case GSASL_SCRAM_SALT:
		return set_keys(handle);
	case GSASL_CB_TLS_EXPORTER:
		return set_binding(handle);
	default: /* also tls-unique, which TLS 1.3 has not, and is not safe before (RFC 9266) */
		return GSASL_NO_CALLBACK;
	}
}

/* ---- the library ----------------------------------------------------------------------------- */

int
sasl_new(struct sasl **ret)
{
	struct sasl *sasl = calloc(1, sizeof(*sasl));

	if (!sasl)
		return -ENOMEM;
	if (gsasl_init(&sasl->context) != GSASL_OK) {
		free(sasl);
		return -ENOTSUP;
	}
	gsasl_callback_set(sasl->context, callback);
	*ret = sasl;
	return 0;
}

void
sasl_free(struct sasl **sasl)
{
	if (!*sasl)
		return;
	gsasl_done((*sasl)->context);
	free(*sasl);
	*sasl = NULL;
}

/* ---- exchanges ------------------------------------------------------------------------------- */

int
sasl_exchange_new(struct sasl *sasl, const char *mechanism, struct sasl_exchange **ret)
{
	struct sasl_exchange *exchange = calloc(1, sizeof(*exchange));
	struct sasl_session *session = calloc(1, sizeof(*session));
	bool external = strcmp(mechanism, SASL_EXTERNAL) == 0;

	if (!exchange || !session ||
	    (strcmp(mechanism, "PLAIN") != 0 && !external &&
		gsasl_server_start(sasl->context, mechanism, &session->handle) != GSASL_OK)) {
		free(exchange);
		free(session);
		return -ENOTSUP;
	}
	if (session->handle)
		gsasl_session_hook_set(session->handle, exchange);
	session->login = strcmp(mechanism, "LOGIN") == 0;
	exchange->external = external;
	exchange->plus = strcmp(mechanism, SASL_SCRAM_PLUS) == 0;
	exchange->scram = exchange->plus || strcmp(mechanism, SASL_SCRAM) == 0;
	exchange->session = session;
	*ret = exchange;
	return 0;
}

void
sasl_exchange_drop(void *data)
{
	struct sasl_exchange *exchange = data;

	if (exchange->session->handle)
		gsasl_finish(exchange->session->handle);
	sasl_wipe(exchange->session->challenge);
	free(exchange->session);
	sasl_wipe(exchange->password);
	sodium_memzero(&exchange->known, sizeof(exchange->known));
	free(exchange->user);
	free(exchange->acts_for);
	free(exchange);
}

static int
step(struct sasl_session *session, struct pn_slice response, size_t *ret_len)
{
	int code;

	sasl_wipe(session->challenge);
	session->challenge = NULL;
	*ret_len = 0;
	code = gsasl_step(
	    session->handle, response.data, response.len, &session->challenge, ret_len);
	session->round++;
	if (code == GSASL_NEEDS_MORE)
		return 1;
	if (code == GSASL_AUTHENTICATION_ERROR)
		return -EACCES;
	return code == GSASL_OK ? 0 : -EINVAL;
}

/* Old clients of LOGIN compare what they are asked for with these words. */
static struct pn_slice
login_words(unsigned round)
{
	return pn_slice_of(round == 1 ? "Username:" : "Password:");
}

/* NULL where it is too long. */
static char *
copy(struct pn_slice field)
{
	return field.len <= FIELD_MOST ? strndup(field.len > 0 ? field.data : "", field.len) : NULL;
}

static int
plain_step(struct sasl_exchange *exchange, struct pn_slice response, struct pn_slice *ret_challenge)
{
	struct plain_message message;
	char *password;

	if (!response.data && exchange->session->round++ == 0) {
		*ret_challenge = pn_slice_of("");
		return 1;
	}
	if (plain_read(response, &message) < 0)
		return -EINVAL;
	exchange->user = copy(message.user);
	exchange->acts_for = copy(message.acts_for);
	password = copy(message.password);
	exchange->password = password ? sasl_prepare(password) : NULL;
	sasl_wipe(password);
	exchange->complete = exchange->user && exchange->acts_for && exchange->password;
	return exchange->complete ? 0 : -EINVAL;
}

/* The identity asked for, in UTF-8 without NUL; an empty one leaves it to the certificate. */
static int
external_step(
    struct sasl_exchange *exchange, struct pn_slice response, struct pn_slice *ret_challenge)
{
	if (!response.data && exchange->session->round++ == 0) {
		*ret_challenge = pn_slice_of("");
		return 1;
	}
	if (response.len > 0 && memchr(response.data, '\0', response.len))
		return -EINVAL;
	exchange->user = copy(response);
	exchange->complete = exchange->user != NULL;
	return exchange->complete ? 0 : -EINVAL;
}

int
sasl_exchange_step(
    struct sasl_exchange *exchange, struct pn_slice response, struct pn_slice *ret_challenge)
{
	struct sasl_session *session = exchange->session;
	size_t len = 0;
	int r = 1;

	if (exchange->external)
		return external_step(exchange, response, ret_challenge);
	if (!session->handle)
		return plain_step(exchange, response, ret_challenge);
	/* A user name that comes with AUTH LOGIN answers a question not asked yet. */
	if (session->login && session->round == 0 && response.data)
		r = step(session, pn_slice(NULL, 0), &len);
	if (r == 1)
		r = step(session, response, &len);
	if (r == 1 && session->round > (session->login ? 2 : 1))
		return -EINVAL; /* one more empty line than there are questions */
	if (r == 1)
		*ret_challenge = session->login ? login_words(session->round)
						: pn_slice(session->challenge, len);
	exchange->complete = r == 0 && exchange->user && exchange->password;
	return r < 0 || (r == 0 && !exchange->complete) ? -EINVAL : r;
}

/*
 * RFC 5802 section 6: who binds to a channel ('p') must not be let in by a mechanism without -PLUS
 * (GNU SASL 2.2 lets him), nor anybody else by one with it. 'y' says that the client could bind and
 * was not offered it: where we did, somebody in between has taken it out.
 */
static bool
flag_fits(const struct sasl_exchange *exchange, char flag)
{
	if (exchange->plus)
		return flag == 'p';
	return flag != 'p' && !(flag == 'y' && exchange->plus_offered);
}

int
sasl_scram_step(struct sasl_exchange *exchange, struct pn_slice response, sasl_keys_fn *keys_of,
    void *arg, struct pn_slice *ret_challenge)
{
	struct sasl_session *session = exchange->session;
	size_t len = 0;
	int r;

	if (exchange->proven) {
		exchange->complete = response.len == 0;
		return exchange->complete ? 0 : -EINVAL;
	}
	if (!exchange->user && response.len > 0 && !flag_fits(exchange, response.data[0]))
		return -EINVAL;
	session->keys_of = keys_of;
	session->arg = arg;
	r = step(session, response, &len);
	session->keys_of = NULL;
	if (session->refused != 0)
		return session->refused;
	if (r == 1 && session->round > 2)
		return -EINVAL; /* one more empty line than there are questions */
	exchange->proven = r == 0;
	if (r >= 0)
		*ret_challenge = pn_slice(session->challenge, len);
	return r == 0 ? 1 : r;
}
