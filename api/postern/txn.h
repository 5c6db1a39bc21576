/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn.h - what a hook may know of the transaction, and what it may change.
 *
 * A transaction runs from MAIL to the reply after DATA (RFC 5321 section 3.3). Hooks of the stages
 * before MAIL get one too: it then holds the session's facts only.
 *
 * Lifetime: what these functions return is borrowed and valid until the hook returns, unless said
 * otherwise. Threads: a hook is the only one to see its transaction while it runs. After the
 * entry's timeout, or when the client has gone, every changing call answers -ECANCELED.
 */
#ifndef POSTERN_TXN_H
#define POSTERN_TXN_H

#include <postern/base.h>

struct pn_call;
struct pn_txn;

/* ---- the session ---------------------------------------------------------------------------- */

/* The id that every log line and the trace header carry; "" before MAIL. */
PN_PUBLIC const char *pn_txn_id(const struct pn_txn *txn);
/* "192.0.2.7" or "2001:db8::1", without brackets or port; "local" for a unix socket. */
PN_PUBLIC const char *pn_txn_client_address(const struct pn_txn *txn);
/*
 * since ABI 5. 1 if an address, as above, is in a network ("192.0.2.0/24", "2001:db8::/112" or an
 * address, in any spelling), else 0, as of "local". -EINVAL: that is no network. Any thread, pure.
 */
PN_PUBLIC int pn_network_has(const char *network, const char *address);
/*
 * since ABI 4. Whether many users share that address (relay.shared_networks, a unix socket): what
 * is counted by address must not be counted for it. Of messages from the queue it is not known.
 */
PN_PUBLIC bool pn_txn_client_shared(const struct pn_txn *txn);
/* The name under which the configuration knows the listener. */
PN_PUBLIC const char *pn_txn_listener(const struct pn_txn *txn);
/* Argument of HELO or EHLO; "" before it. */
PN_PUBLIC const char *pn_txn_helo(const struct pn_txn *txn);
/* Canonical address of the authenticated user, or NULL. */
PN_PUBLIC const char *pn_txn_user(const struct pn_txn *txn);
/* "TLSv1.3" and the cipher's name, or NULL in clear; bits are 0, 128 or 256. */
PN_PUBLIC const char *pn_txn_tls_version(const struct pn_txn *txn);
PN_PUBLIC const char *pn_txn_tls_cipher(const struct pn_txn *txn);
PN_PUBLIC int pn_txn_tls_bits(const struct pn_txn *txn);

#define PN_FINGERPRINT_SIZE 65
/*
 * since ABI 5. The client's certificate, where it has shown one that the listener's `client_ca`
 * vouches for; NULL: none. Fingerprints are SHA-256, 64 small hexadecimal digits: of the
 * certificate, and of its SubjectPublicKeyInfo. Names are those of its SubjectAltName: addresses
 * (rfc822Name, and SmtpUTF8Mailbox of RFC 9598) and dNSNames as they stand there, NULL past the
 * last; 16 of each at most. Of messages from the queue subject and fingerprint alone are known.
 */
PN_PUBLIC const char *pn_txn_certificate(const struct pn_txn *txn);         /* its fingerprint */
PN_PUBLIC const char *pn_txn_certificate_subject(const struct pn_txn *txn); /* RFC 4514 */
PN_PUBLIC const char *pn_txn_certificate_key(const struct pn_txn *txn);
PN_PUBLIC const char *pn_txn_certificate_address_at(const struct pn_txn *txn, size_t index);
PN_PUBLIC const char *pn_txn_certificate_name_at(const struct pn_txn *txn, size_t index);
/*
 * The one form of a fingerprint, whether it was written in capitals or with colons. -EINVAL: it is
 * none. Since ABI 5; any thread, pure.
 */
PN_PUBLIC int pn_fingerprint_canonical(const char *text, char ret[PN_FINGERPRINT_SIZE]);

/* ---- the envelope --------------------------------------------------------------------------- */

/* Return path without brackets as it now stands; "" for the null sender (RFC 5321 section 4.5.5).
 */
PN_PUBLIC const char *pn_txn_sender(const struct pn_txn *txn);
/* The same as the client gave it, before any edit. */
PN_PUBLIC const char *pn_txn_original_sender(const struct pn_txn *txn);
PN_PUBLIC size_t pn_txn_recipient_count(const struct pn_txn *txn);
/* `index` below the count; NULL otherwise. */
PN_PUBLIC const char *pn_txn_recipient_at(const struct pn_txn *txn, size_t index);
/* The same as the client gave it, before any edit; of one that an entry added, its address. Since
 * ABI 4. */
PN_PUBLIC const char *pn_txn_original_recipient_at(const struct pn_txn *txn, size_t index);
/* The recipient that this call is about (PN_STAGE_RECIPIENT); NULL at other stages. */
PN_PUBLIC const char *pn_txn_recipient(const struct pn_txn *txn);

#define PN_ADDRESS_SIZE 321
/*
 * The form in which addresses are compared: the domain in lower case and A-labels, the local part
 * as it is but for quotes that it does not need. "" is its own form. -EINVAL: not an address;
 * -E2BIG. Since ABI 4; any thread, pure.
 */
PN_PUBLIC int pn_address_canonical(const char *address, char ret[PN_ADDRESS_SIZE]);
/* `domain` is `outer` or below it; both in that form. Since ABI 4; any thread, pure. */
PN_PUBLIC bool pn_domain_within(const char *domain, const char *outer);

/*
 * Each at the stages named in module.h, else -EINVAL.
 *
 * Replaces the return path. "" makes it null. -EINVAL: not an address (RFC 5321 section 4.1.2).
 */
PN_PUBLIC int pn_edit_sender(struct pn_call *call, const char *address);
/* Replaces the subject recipient; only at PN_STAGE_RECIPIENT, else -EINVAL. */
PN_PUBLIC int pn_edit_recipient(struct pn_call *call, const char *address);
/* Adds a recipient; -EEXIST if it is there already, -E2BIG past the recipient limit. */
PN_PUBLIC int pn_add_recipient(struct pn_call *call, const char *address);
/* Takes one away; -ENOENT if it is not there. At PN_STAGE_MESSAGE only. */
PN_PUBLIC int pn_remove_recipient(struct pn_call *call, const char *address);

/* ---- the message (PN_STAGE_MESSAGE and later) ----------------------------------------------- */

/*
 * The message as this entry sees it: with the edits of the entries before it, with CRLF line ends,
 * not dot-stuffed. Headers end with the empty line; the body is what follows. A PN_STAGE_COMMITTED
 * hook that runs after a restart finds it empty: what the hook needs, it has staged as an effect.
 */
PN_PUBLIC size_t pn_txn_size(const struct pn_txn *txn);
PN_PUBLIC struct pn_slice pn_txn_bytes(const struct pn_txn *txn);
PN_PUBLIC struct pn_slice pn_txn_body(const struct pn_txn *txn);
/* As the client sent it, whatever was edited since; `data` is NULL at PN_STAGE_COMMITTED. */
PN_PUBLIC struct pn_slice pn_txn_original_bytes(const struct pn_txn *txn);

/*
 * Header fields in the order of the message. `name` is compared without case. The value is raw:
 * after the colon, without the final CRLF, folded as it stands. A line that is no field has an
 * empty name and is all value.
 */
struct pn_header {
	struct pn_slice name;
	struct pn_slice value;
};
PN_PUBLIC size_t pn_header_count(const struct pn_txn *txn);
/* False past the end. */
PN_PUBLIC bool pn_header_at(const struct pn_txn *txn, size_t index, struct pn_header *ret);
/* The `nth` (from 0) field of that name; false if there is none. */
PN_PUBLIC bool pn_header_find(
    const struct pn_txn *txn, const char *name, size_t nth, struct pn_header *ret);

/*
 * Edits. They are byte splices over the view the hook began with: every position and index is in
 * the coordinates of that view whatever else this hook has edited, and what no one edits leaves
 * exactly as it came. They are staged: dropped if the hook does not pass, visible to the next entry
 * if it does. Results: 0; -EINVAL for a bad name, a bare CR or LF, overlap with an earlier edit of
 * this hook, or a position outside; -ENOMEM; -ECANCELED.
 */

/* Adds "name: value" above all others, or below all others. The value may be folded with CRLF SP.
 */
PN_PUBLIC int pn_header_prepend(struct pn_call *call, const char *name, const char *value);
PN_PUBLIC int pn_header_append(struct pn_call *call, const char *name, const char *value);
/* By index as pn_header_at counts. */
PN_PUBLIC int pn_header_replace(struct pn_call *call, size_t index, const char *value);
PN_PUBLIC int pn_header_remove(struct pn_call *call, size_t index);
/* Replaces `length` bytes of the body at `offset` (from its first byte) by `bytes`; CRLF only. */
PN_PUBLIC int pn_body_splice(
    struct pn_call *call, size_t offset, size_t length, struct pn_slice bytes);

/* A word that later entries and routes can ask for in `when: { tag: [...] }`; [a-z0-9-], 64 at
 * most. */
PN_PUBLIC int pn_tag(struct pn_call *call, const char *tag);
PN_PUBLIC bool pn_txn_has_tag(const struct pn_txn *txn, const char *tag);

/* ---- AUTH (PN_STAGE_HELO and PN_STAGE_AUTH; RFC 4954) ---------------------------------------- */

/*
 * At PN_STAGE_HELO: offer a SASL mechanism. The core shows it only where the listener offers AUTH
 * and the connection is protected (or the listener says that it need not be).
 */
PN_PUBLIC int pn_auth_offer(struct pn_call *call, const char *mechanism);
/* At PN_STAGE_AUTH: which mechanism, in upper case. */
PN_PUBLIC const char *pn_auth_mechanism(const struct pn_txn *txn);
/* What the client sent, base64 undone; `data` is NULL when it sent nothing (no initial response).
 */
PN_PUBLIC struct pn_slice pn_auth_response(const struct pn_txn *txn);
/*
 * since ABI 4, at PN_STAGE_AUTH: what binds the exchange to the TLS connection, "tls-exporter" (RFC
 * 9266), for mechanisms whose name ends with -PLUS; empty below TLS 1.3, in clear and for others.
 */
PN_PUBLIC struct pn_slice pn_auth_binding(const struct pn_txn *txn);
/*
 * A pointer kept from one round of an exchange to the next. `drop` is called once, from any thread
 * but never beside a hook, when the exchange ends however it ends.
 */
PN_PUBLIC int pn_auth_keep(struct pn_call *call, void *data, void (*drop)(void *data));
PN_PUBLIC void *pn_auth_kept(const struct pn_txn *txn);

/* ---- staged effects -------------------------------------------------------------------------- */

/*
 * What a hook does outside the message is staged under the message's id and becomes visible in the
 * entry's PN_STAGE_COMMITTED hook: it rides inside the message's own spool record, so it is durable
 * exactly when the message is. `name` [a-z0-9-], 32 at most, unique per entry and message: the
 * second stage under one name replaces the first. At most 64 KiB per message in all: -E2BIG.
 * At PN_STAGE_SENDER, RECIPIENT, MESSAGE, SELECT or PROTECT. What is staged at PN_STAGE_SELECT
 * stands with the choice even where its provider then fails. Falls with the hook's edits if the
 * hook does not pass.
 */
PN_PUBLIC int pn_effect_stage(struct pn_call *call, const char *name, struct pn_slice bytes);
/*
 * In PN_STAGE_COMMITTED and PN_STAGE_ABORTED: what this entry staged; false if nothing. Committed
 * runs at least once, again after a crash, so effects must be idempotent by pn_txn_id().
 */
PN_PUBLIC bool pn_effect(const struct pn_call *call, const char *name, struct pn_slice *ret);

#endif
