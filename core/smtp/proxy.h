/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.h - the PROXY protocol's header, by which a proxy in front of a listener says who its
 * client is (haproxy.org, proxy-protocol.txt, versions 1 and 2). Any thread.
 */
#ifndef CORE_SMTP_PROXY_H
#define CORE_SMTP_PROXY_H

#include <core/net/address.h>

/* Longer ones are refused: version 1 by its specification, version 2 by us. */
#define PROXY_V1_MOST     107u
#define PROXY_V2_MOST     2048u /* behind the 16 octets that all have */
#define PROXY_HEADER_MOST (16u + PROXY_V2_MOST)

struct proxy_header {
	bool told;             /* false: LOCAL, UNKNOWN, or no IP: the connection's own address */
	struct address client; /* if told */
};

/*
 * The header at the beginning of `in`: its length; 0 where more must come, and then all of `in`
 * belongs to it; -EINVAL as soon as it cannot become one. `*ret` is written only with a length.
 */
int proxy_parse(struct pn_slice in, struct proxy_header *ret);

#endif
