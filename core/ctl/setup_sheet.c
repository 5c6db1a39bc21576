/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setup_sheet.c - the texts of posternctl setup-sheet.
 *
 * Read by command_setup.c, which fills them in. Must say nothing of what listeners offer: that is
 * looked up.
 */
#include <core/ctl/setup_sheet.h>
#include <stddef.h>

static const int gmail_ports[] = { 587, 465, 25, 0 }, port_25[] = { 25, 0 };

static const struct sheet_wants gmail = { true, false, false, gmail_ports,
	"Gmail comes to port 587, 465 or 25: it wants a listener there with tls: starttls-required "
	"or "
	"implicit, auth: required, and AUTH PLAIN or LOGIN" };
static const struct sheet_wants program = { true, false, false, NULL,
	"it wants a listener with TLS, auth: required, and AUTH PLAIN or LOGIN" };
static const struct sheet_wants server = { true, true, true, NULL,
	"it wants a listener with tls: starttls or starttls-required, auth: required, and AUTH "
	"PLAIN" };
static const struct sheet_wants cloud = { false, true, false, port_25,
	"it does not log in and comes to port 25: it wants a listener there with tls: "
	"starttls-required, auth: off, and its sending addresses in networks" };
static const struct sheet_wants office = { false, false, false, NULL,
	"it does not log in: it wants a listener with auth: off or offered, and its address in "
	"networks" };

const struct sheet setup_user_sheets[] = {
	{ "Gmail: Send mail as",
	    "Settings, See all settings, Accounts and Import, Send mail as, Add another email "
	    "address",
	    &gmail,
	    { { "Email address", "{user}" }, { "SMTP Server", "{host}" }, { "Port", "{port}" },
		{ "Username", "{user}" }, { "Password", "this user's, here" },
		{ "Secured connection", "{gmail}" } },
	    { { NULL, NULL } } },
	{ "Outlook, and other mail programs", "Account settings, outgoing (SMTP) server", &program,
	    { { "Server", "{host}" }, { "Port", "{port}" }, { "Encryption", "{outlook}" },
		{ "Log in", "yes, by user name and password ({mechanisms})" },
		{ "User name", "{user}" }, { "Password", "this user's, here" } },
	    { { NULL, NULL } } },
	{ "Postfix", NULL, &server, { { "secret", "stands for this user's password" } },
	    { { "/etc/postfix/main.cf",
		  "relayhost = [{host}]:{port}\n"
		  "smtp_tls_security_level = secure\n"
		  "smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt\n"
		  "smtp_tls_connection_reuse = yes\n"
		  "smtp_connection_cache_destinations = static:all\n"
		  "smtp_sasl_auth_enable = yes\n"
		  "smtp_sasl_password_maps = texthash:/etc/postfix/relay_password\n"
		  "smtp_sasl_tls_security_options = noanonymous\n" },
		{ "/etc/postfix/relay_password, readable by root only",
		    "[{host}]:{port} {user}:secret\n" } } },
	{ "Exim", NULL, &server, { { "secret", "stands for this user's password" } },
	    { { "the configuration",
		"begin routers\n"
		"postern:\n"
		"  driver = manualroute\n"
		"  domains = ! +local_domains\n"
		"  route_list = * {host}::{port} byname\n"
		"  transport = postern\n"
		"\n"
		"begin transports\n"
		"postern:\n"
		"  driver = smtp\n"
		"  hosts_require_tls = *\n"
		"  hosts_require_auth = *\n"
		"  tls_verify_hosts = *\n"
		"  tls_verify_certificates = /etc/ssl/certs/ca-certificates.crt\n"
		"\n"
		"begin authenticators\n"
		"postern:\n"
		"  driver = plaintext\n"
		"  public_name = PLAIN\n"
		"  client_send = ^{user}^secret\n" } } },
	{ "sendmail", NULL, &server, { { "secret", "stands for this user's password" } },
	    { { "/etc/mail/sendmail.mc, before the lines with MAILER",
		  "define(`SMART_HOST', `[{host}]')dnl\n"
		  "define(`RELAY_MAILER_ARGS', `TCP $h {port}')dnl\n"
		  "define(`confCACERT', `/etc/ssl/certs/ca-certificates.crt')dnl\n"
		  "define(`confCACERT_PATH', `/etc/ssl/certs')dnl\n"
		  "FEATURE(`check_cert_altnames')dnl\n"
		  "FEATURE(`access_db', `hash /etc/mail/access')dnl\n"
		  "FEATURE(`authinfo', `hash /etc/mail/authinfo')dnl\n" },
		{ "/etc/mail/access, then makemap hash", "TLS_Srv:{host} VERIFY:112+CN\n" },
		{ "/etc/mail/authinfo, readable by root only, then makemap hash",
		    "AuthInfo:{host} \"U:{user}\" \"I:{user}\" \"P:secret\" \"M:PLAIN\"\n" } } },
	{ NULL, NULL, NULL, { { NULL, NULL } }, { { NULL, NULL } } },
};

const struct sheet setup_domain_sheets[] = {
	{ "Google Workspace: outbound gateway",
	    "Admin console, Apps, Google Workspace, Gmail, Routing, Outbound gateway", &cloud,
	    { { "Outbound gateway", "{host}" },
		{ "For some users only",
		    "Hosts, Add route: {host}, port {port}, Require TLS; then Routing" } },
	    { { NULL, NULL } } },
	{ "Microsoft 365: connector",
	    "Exchange admin center, Mail flow, Connectors, Add a connector", &cloud,
	    { { "Connection from", "Office 365" },
		{ "Connection to", "Your organization's email server" },
		{ "Use of connector", "only when email messages are sent to these domains: *" },
		{ "Smart host", "{host}" },
		{ "Security", "Always use TLS, issued by a trusted CA, subject name {host}" } },
	    { { NULL, NULL } } },
	{ "Exchange on your premises", "Send Connectors, of use Internet", &office,
	    { { "Address space", "*, with all subdomains" }, { "Smart host", "{host}" },
		{ "Smart host authentication", "None" },
		{ "Enable Domain Security (Mutual Auth TLS)", "no" } },
	    { { "Exchange Management Shell",
		"New-SendConnector -Name Postern -Usage Internet -AddressSpaces '*' "
		"-DNSRoutingEnabled $false -SmartHosts {host} -SmartHostAuthMechanism None -Port "
		"{port}\n" } } },
	{ "Postfix, known by its address", NULL, &office, { { NULL, NULL } },
	    { { "/etc/postfix/main.cf", "relayhost = [{host}]:{port}\n" } } },
	{ "qmail", NULL, &office, { { "Exceptions", "DOMAIN:SERVER, above that line" } },
	    { { "/var/qmail/control/smtproutes", ":{host}:{port}\n" } } },
	{ NULL, NULL, NULL, { { NULL, NULL } }, { { NULL, NULL } } },
};
