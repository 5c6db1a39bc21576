/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.c - reads the core's own sections.
 *
 * Called for every check and reload, before any module is loaded. Goes on after mistakes; whoever
 * calls looks at the diags before using what came out.
 */
#include <core/config/option.h>
#include <core/config/relay_tables.h>
#include <core/mail/address.h>
#include <core/net/tls.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct settings
fill_section(const struct core_fill *fill, const char *section, size_t size)
{
	struct settings settings;

	settings_fill_core(fill->tree, section, config_node_get(fill->tree->root, section),
	    fill->tree->root->mark, config_core_options(section), sizeof(struct pn_option), size,
	    fill->arena, fill->secrets, fill->diags, &settings);
	return settings;
}

/* The machine's name where YAML has none. */
static void
find_hostname(const struct core_fill *fill)
{
	struct config_relay *relay = &fill->core->relay;
	struct pn_check check = { &fill->core->relay_settings, "relay", fill->diags };
	char name[256] = "", canonical[MAIL_DOMAIN_MOST + 1];

	if (relay->hostname) {
		if (mail_domain_canonical(relay->hostname, canonical) < 0)
			pn_complain(&check, "hostname",
			    "\"%s\" is not a host name; write for example relay.example.com",
			    relay->hostname);
		return;
	}
	if (gethostname(name, sizeof(name) - 1) < 0 || mail_domain_canonical(name, canonical) < 0)
		pn_complain(&check, "",
		    "the machine's name \"%s\" is not a host name; set \"hostname\"", name);
	relay->hostname = arena_text(fill->arena, name);
}

static void
read_certificate(
    const struct core_fill *fill, const char *path, const char *certificate, struct pn_slice *ret)
{
	struct pn_check check = { &fill->core->relay_settings, "relay", fill->diags };
	struct source *source = fill->tree->source;
	struct source_file file;
	struct pn_error err;

	if (!certificate)
		return;
	if (source->ops->read(source, certificate, &file, &err) < 0) {
		pn_complain(&check, path, "%s", err.text);
		return;
	}
	*ret = pn_slice(arena_slice(fill->arena, pn_slice(file.data, file.len)), file.len);
	if (!strstr(ret->data, "-----BEGIN CERTIFICATE-----"))
		pn_complain(&check, path, "%s holds no certificate in PEM", certificate);
	free(file.data);
}

static void
read_certificates(const struct core_fill *fill)
{
	struct config_relay *relay = &fill->core->relay;
	struct config_certificate *more = arena_copy(fill->arena, relay->tls.more.items,
	    relay->tls.more.count * sizeof(struct config_certificate));

	read_certificate(
	    fill, "tls.certificate", relay->tls.certificate, &relay->tls.certificate_pem);
	for (size_t i = 0; i < relay->tls.more.count; i++)
		read_certificate(fill, arena_printf(fill->arena, "tls.more[%zu].certificate", i),
		    more[i].certificate, &more[i].certificate_pem);
	relay->tls.more.items = more;
}

/* Read so that it is watched like certificates, and what is wrong with it has a place. */
static void
read_authorities(const struct core_fill *fill)
{
	const struct config_route *routes = fill->core->routes.items;
	struct pn_check check = { &fill->core->routes_settings, "routes", fill->diags };
	struct source *source = fill->tree->source;
	struct source_file file;
	struct pn_error err;

	for (size_t i = 0; i < fill->core->routes.count; i++) {
		if (!routes[i].ca_file || routes[i].tls != TLS_LEVEL_VERIFY)
			continue;
		if (source->ops->read(source, routes[i].ca_file, &file, &err) < 0) {
			pn_complain(
			    &check, arena_printf(fill->arena, "[%zu].ca_file", i), "%s", err.text);
			continue;
		}
		if (!strstr(file.data, "-----BEGIN "))
			pn_complain(&check, arena_printf(fill->arena, "[%zu].ca_file", i),
			    "%s holds no certificate in PEM", routes[i].ca_file);
		free(file.data);
	}
}

bool
config_listener_clients(const struct config_listener *listener, struct tls_clients *ret)
{
	*ret = (struct tls_clients){
		.required = listener->client_certificate == CONFIG_ASKING_REQUIRED,
		.authorities = listener->client_ca_pem,
		.authorities_where = listener->client_ca,
		.revoked = listener->client_crl_pem,
		.revoked_where = listener->client_crl,
	};
	return listener->client_certificate != CONFIG_ASKING_OFF;
}

/* False: it cannot be read, and that was said. */
static bool
read_pem(const struct core_fill *fill, const char *at, const char *path, struct pn_slice *ret)
{
	struct pn_check check = { &fill->core->relay_settings, "relay", fill->diags };
	struct source *source = fill->tree->source;
	struct source_file file;
	struct pn_error err;

	if (source->ops->read(source, path, &file, &err) < 0) {
		pn_complain(&check, at, "%s", err.text);
		return false;
	}
	*ret = pn_slice(arena_slice(fill->arena, pn_slice(file.data, file.len)), file.len);
	free(file.data);
	return true;
}

static void
read_clients(const struct core_fill *fill, size_t index, struct config_listener *listener)
{
	struct pn_check check = { &fill->core->relay_settings, "relay", fill->diags };
	const char *at = arena_printf(fill->arena, "listeners[%zu].client_ca", index), *where;
	const char *crl_at = arena_printf(fill->arena, "listeners[%zu].client_crl", index);
	struct tls_clients clients;
	struct pn_error err;

	if (listener->client_certificate == CONFIG_ASKING_OFF || !listener->client_ca ||
	    !read_pem(fill, at, listener->client_ca, &listener->client_ca_pem))
		return;
	if (listener->client_crl &&
	    !read_pem(fill, crl_at, listener->client_crl, &listener->client_crl_pem))
		return;
	config_listener_clients(listener, &clients);
	if (tls_clients_check(&clients, &where, &err) < 0)
		pn_complain(&check, where == listener->client_crl ? crl_at : at, "%s", err.text);
}

static void
read_all_clients(const struct core_fill *fill)
{
	struct pn_list *list = &fill->core->relay.listeners;
	struct config_listener *listeners = arena_copy(
	    fill->arena, list->items, list->count * sizeof(*listeners));

	for (size_t i = 0; i < list->count; i++)
		read_clients(fill, i, &listeners[i]);
	list->items = listeners;
}

static void
settle_routes(const struct core_fill *fill)
{
	struct pn_list *routes = &fill->core->routes;
	struct config_route *copy = arena_copy(
	    fill->arena, routes->items, routes->count * sizeof(struct config_route));

	for (size_t i = 0; i < routes->count; i++)
		config_when_settle(&copy[i].when, fill->arena);
	routes->items = copy;
}

/* First of all: entries and routes name its accounts and groups. */
static void
read_directory(const struct core_fill *fill)
{
	struct config_directory *directory = &fill->core->directory;
	struct settings settings = fill_section(fill, "directory", sizeof(*directory));
	struct pn_check check = { &settings, "directory", fill->diags };

	fill->core->directory_settings = settings;
	*directory = *(struct config_directory *)settings.values;
	config_directory_check(&check, directory);
}

/* A plan can only be without what there is. */
static void
check_plans(const struct core_fill *fill)
{
	const struct config_core *core = fill->core;
	const struct pn_map *plans = &core->directory.plans;
	const struct config_plan *values = plans->values;
	const char **ids = arena_alloc(fill->arena, (core->pipeline_count + 1) * sizeof(*ids));
	struct pn_check check = { &core->directory_settings, "directory", fill->diags };

	for (size_t i = 0; i < core->pipeline_count; i++)
		ids[i] = core->pipeline[i].id;
	for (size_t i = 0; i < plans->count && !fill->tree->incomplete; i++)
		for (size_t k = 0; k < values[i].without.count; k++) {
			const char *id = values[i].without.items[k];
			size_t at = 0;

			while (ids[at] && strcmp(ids[at], id) != 0)
				at++;
			if (!ids[at])
				pn_complain(&check,
				    arena_printf(
					fill->arena, "plans.%s.without[%zu]", plans->keys[i], k),
				    "no entry \"%s\" stands in the pipeline%s", id,
				    option_hint(fill->arena, id, ids));
		}
}

int
config_core_fill(const struct config_tree *tree, struct arena *arena,
    struct settings_secrets **secrets, struct diags *diags, struct config_core *ret)
{
	struct core_fill fill = { tree, arena, secrets, diags, ret };
	size_t before = diags->errors;

	*ret = (struct config_core){ 0 };
	ret->relay_settings = fill_section(&fill, "relay", sizeof(ret->relay));
	ret->relay = *(struct config_relay *)ret->relay_settings.values;
	ret->routes_settings = fill_section(&fill, "routes", sizeof(ret->routes));
	ret->routes = *(struct pn_list *)ret->routes_settings.values;
	ret->destinations_settings = fill_section(&fill, "destinations", sizeof(ret->destinations));
	ret->destinations = *(struct pn_list *)ret->destinations_settings.values;
	ret->database = *(int *)fill_section(&fill, "database", sizeof(ret->database)).values;
	read_directory(&fill);
	find_hostname(&fill);
	read_certificates(&fill);
	read_all_clients(&fill);
	read_authorities(&fill);
	pipeline_fill(&fill);
	check_plans(&fill);
	relay_check(&fill);
	routes_check(&fill);
	destinations_check(&fill);
	settle_routes(&fill);
	return diags->errors > before ? -EINVAL : 0;
}
