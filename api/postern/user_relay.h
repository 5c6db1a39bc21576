/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_relay.h - servers that users have named for addresses of their own, and mail that leaves by
 * them. Since ABI 5.
 *
 * The core keeps them in the database, name and password sealed, and sends; who may have one, and
 * which mail goes there, is a module's. Whatever a module says, such a server is reached by TLS
 * alone, at the ports and outside of the networks that relay.user_relays refuses.
 *
 * Ownership: strings are borrowed and valid until the hook or the command returns. Errors: 0 or a
 * negative errno with the text in `err`.
 */
#ifndef POSTERN_USER_RELAY_H
#define POSTERN_USER_RELAY_H

#include <postern/base.h>

struct pn_call;

struct pn_user_relay {
	const char *user, *address;
	const char *host; /* a name or an IP address */
	uint16_t port;
	bool implicit_tls; /* from the first byte on; else STARTTLS */
	bool verify;       /* the certificate has to be valid for `host` */
};

/* Out of memory, for PN_QUICK hooks too. False: that user has none for that address. */
PN_PUBLIC bool pn_user_relay_find(
    const struct pn_call *call, const char *user, const char *address, struct pn_user_relay *ret);
/* By number, in the order of users and addresses; false past the end. */
PN_PUBLIC bool pn_user_relay_at(
    const struct pn_call *call, size_t index, struct pn_user_relay *ret);

/*
 * At PN_STAGE_MESSAGE: the message leaves by the server that the user who logged in has for this
 * address, for all recipients that the client named, and by no other; recipients that policy adds
 * go by the routes. The choice is kept with the message; what stands behind it is looked up when it
 * is sent. Staged, as edits are. -ENOENT: there is none; else as an edit.
 */
PN_PUBLIC int pn_send_by_user_relay(struct pn_call *call, const char *address);

/* ---- commands -------------------------------------------------------------------------------- */

/*
 * Stores it, in place of one that is there, and seals `login`: the name there, NUL, the password.
 * -EINVAL: an address, a host, a port that may not be; -ENOKEY: no key is configured.
 */
PN_PUBLIC int pn_user_relay_set(struct pn_call *call, const struct pn_user_relay *relay,
    struct pn_slice login, struct pn_error *err);
/* -ENOENT */
PN_PUBLIC int pn_user_relay_remove(
    struct pn_call *call, const char *user, const char *address, struct pn_error *err);
/*
 * Connects, logs in and leaves. 0; -ENOENT; -EREMOTEIO: it did not work, in the words that a report
 * would have.
 */
PN_PUBLIC int pn_user_relay_test(
    struct pn_call *call, const char *user, const char *address, struct pn_error *err);
/*
 * Seals under the first key what is sealed under others: how many there were. All or none. -ENOKEY,
 * -EBADMSG: one of them cannot be opened.
 */
PN_PUBLIC int pn_user_relay_reseal(struct pn_call *call, size_t *ret, struct pn_error *err);

#endif
