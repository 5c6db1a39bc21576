/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_left.c - parts a session from what a hook goes on reading that has not returned in time.
 *
 * Called on the loop by away.c (session_leave), and by whoever is last when the hook has returned
 * or never does (session_forget_left). What was lent stays where it is and is nobody's but the
 * hook's; the session, which may be gone before it, goes on with copies.
 */
#include <core/smtp/session_inner.h>
#include <stdlib.h>

struct left {
	struct pn_txn *txn;
	struct arena arena; /* the client's address */
	char *helo, *user;
	struct buf secret;
};

static void
copy_address(struct session *session)
{
	struct mail_facts *facts = &session->facts;

	session->arena = (struct arena){ 0 };
	session->peer = arena_copy(&session->arena, session->peer, sizeof(*session->peer));
	facts->client_address = arena_text(&session->arena, facts->client_address);
	facts->client_literal = arena_text(&session->arena, facts->client_literal);
	facts->client_uid = arena_text(&session->arena, facts->client_uid);
	facts->client_pid = arena_text(&session->arena, facts->client_pid);
	facts->certificate = certificate_copy(&session->arena, facts->certificate);
}

static void
copy_names(struct session *session)
{
	struct mail_facts *facts = &session->facts;
	const char *helo = session->helo, *user = session->user;

	session->helo = session->user = NULL;
	if (helo) {
		session_set(&session->helo, helo, strlen(helo));
		facts->helo = session->helo;
	}
	if (user) {
		session_set(&session->user, user, strlen(user));
		facts->user = session->user;
	}
}

/* What MAIL's parameters asked for stands in the transaction alone. */
static void
share_copies(struct session *session)
{
	struct mail_facts facts = session->facts;
	const struct mail_facts *old = &session->txn->facts;

	facts.smtputf8 = old->smtputf8;
	facts.eightbit = old->eightbit;
	facts.binary = old->binary;
	facts.requiretls = old->requiretls;
	session->txn->facts = facts;
}

/* The next entry of the exchange looks at the same response. */
static void
copy_secret(struct session *session, const struct buf *old)
{
	struct pn_slice *response = &session->txn->response;

	session->secret = BUF_INIT(COMMAND_AUTH_MOST);
	if (!response->data || old->len == 0)
		return;
	if (buf_add(&session->secret, old->data, old->len) < 0)
		abort(); /* as arena.h */
	*response = buf_slice(&session->secret);
}

void *
session_leave(void *owner)
{
	struct session *session = owner;
	struct left *left = calloc(1, sizeof(*left));

	if (!left)
		abort(); /* as arena.h */
	*left = (struct left){ session->txn, session->arena, session->helo, session->user,
		session->secret };
	session->txn = txn_fork(left->txn);
	copy_address(session);
	copy_names(session);
	share_copies(session);
	copy_secret(session, &left->secret);
	return left;
}

void
session_forget_left(void *arg)
{
	struct left *left = arg;

	txn_auth_end(left->txn);
	txn_free(&left->txn);
	buf_wipe(&left->secret);
	session_set(&left->helo, NULL, 0);
	session_set(&left->user, NULL, 0);
	arena_free(&left->arena);
	free(left);
}
