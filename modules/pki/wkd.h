/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wkd.h - keys by Web Key Directory (draft-koch-openpgp-webkey-service): the domain of an address
 * is asked for its key over HTTPS. What was heard is remembered, also that there is none.
 */
#ifndef MODULES_PKI_WKD_H
#define MODULES_PKI_WKD_H

#include "pki.h"
#include <glib.h>

struct wkd;
struct wkd *wkd_new(void);
void wkd_free(struct wkd *wkd);

struct wkd_found {
	struct pn_slice material; /* of `room` */
	char room[8192];          /* PN_CHOICE is no larger, and so no key that can be used */
	char fingerprint[41];
	char why[200]; /* there is none, or it cannot be told */
};

/*
 * 1: found; 0: there is none that can be used; -EAGAIN: it cannot be told now. `address`: with its
 * domain in A-labels and without capitals. Blocks.
 */
int wkd_find(struct pn_call *call, struct wkd *wkd, const char *address, struct wkd_found *ret);

/* Where the key of the address is, in `ret`; false: its domain is none that can be asked. */
enum wkd_method { WKD_ADVANCED, WKD_DIRECT };
bool wkd_url(enum wkd_method method, const char *server, const char *address, GString *ret);

#endif
