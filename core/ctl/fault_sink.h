/* SPDX-License-Identifier: Apache-2.0 */
/* fault_sink.h - a next hop on this machine with a fault in its TLS, that takes no mail. */
#ifndef CORE_CTL_FAULT_SINK_H
#define CORE_CTL_FAULT_SINK_H

#include <core/net/address.h>

enum fault { FAULT_NO_STARTTLS, FAULT_BAD_CERTIFICATE, FAULT_WEAK_BITS, FAULT_COUNT };

/* -EINVAL: there is no such fault. */
int fault_read(const char *word, enum fault *ret);
/* "no-starttls, bad-certificate, weak-bits" */
extern const char fault_words[];

struct fault_sink;
/* Listens on the loopback and serves one connection after another, on a thread of its own. */
int fault_sink_start(
    enum fault fault, struct fault_sink **ret, struct address *ret_at, struct pn_error *err);
/* Did anybody say MAIL? */
bool fault_sink_end(struct fault_sink **sink);

#endif
