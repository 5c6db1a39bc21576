/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_unbound.c - a libunbound context as the settings want it.
 *
 * Called by dns.c. What the first question then sets up, libunbound does itself: it reads the files
 * and starts its thread. Must never be called under a lock that loops take.
 */
#include <core/base/log.h>
#include <core/net/address.h>
#include <core/net/dns_unbound.h>
#include <stdio.h>

static void
set_option(struct ub_ctx *ub, const char *name, const char *value)
{
	int r = ub_ctx_set_option(ub, name, value);

	if (r != 0)
		log_text(PN_LOG_ERROR, "libunbound: %s %s: %s", name, value, ub_strerror(r));
}

/* "192.0.2.1@53", as libunbound spells it. */
static void
add_server(struct ub_ctx *ub, const char *text)
{
	struct address address;
	char host[ADDRESS_TEXT], server[ADDRESS_TEXT + 8];
	int r;

	if (address_parse(text, 53, &address, NULL) < 0)
		return; /* the configuration's check said so */
	address_host(&address, host);
	snprintf(server, sizeof(server), "%s@%u", host, (unsigned)address_port(&address));
	r = ub_ctx_set_fwd(ub, server);
	if (r != 0)
		log_text(PN_LOG_ERROR, "libunbound: %s: %s", server, ub_strerror(r));
}

static void
choose_servers(struct ub_ctx *ub, const struct dns_settings *settings)
{
	if (settings->recursive)
		return;
	/* A server on this machine, systemd-resolved's for one, is as good as any. */
	set_option(ub, "do-not-query-localhost:", "no");
	for (size_t i = 0; i < settings->servers.count; i++)
		add_server(ub, settings->servers.items[i]);
	if (settings->servers.count == 0 && ub_ctx_resolvconf(ub, NULL) != 0)
		log_text(PN_LOG_ERROR, "/etc/resolv.conf could not be read");
}

/* libunbound's own defaults are for programs that look up a name or two. */
struct ub_ctx *
dns_unbound_new(const struct dns_settings *settings, bool validates)
{
	struct ub_ctx *ub = ub_ctx_create();

	if (!ub)
		return NULL;
	(void)ub_ctx_debugout(ub, NULL);
	(void)ub_ctx_async(ub, 1);
	set_option(ub, "num-queries-per-thread:", "1024");
	set_option(ub, "outgoing-range:", "256");
	set_option(ub, "outgoing-num-tcp:", "32");
	set_option(ub, "msg-cache-size:", "8m");
	set_option(ub, "rrset-cache-size:", "16m");
	set_option(ub, "infra-keep-probing:", "yes");
	choose_servers(ub, settings);
	if (validates && ub_ctx_add_ta_file(ub, settings->trust_anchor) != 0)
		log_event(PN_LOG_ERROR, "dns-not-validating", "reason", "cannot read it", "file",
		    settings->trust_anchor, NULL);
	return ub;
}

bool
dns_anchor_owner(const char *path, char ret[DNS_NAME_SIZE])
{
	char line[4096];
	FILE *file = fopen(path, "re");
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = *line != ';' && sscanf(line, "%255s", ret) == 1;
	if (file)
		fclose(file);
	return found;
}
