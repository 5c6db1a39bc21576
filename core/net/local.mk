# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/net/address.c core/net/address.h \
	core/net/dns.c core/net/dns.h core/net/dns_inside.h core/net/dns_probe.c core/net/dns_unbound.c core/net/dns_unbound.h \
	core/net/hop_terms.c core/net/hop_terms.h \
	core/net/jobs.c core/net/jobs.h \
	core/net/listener.c core/net/listener.h \
	core/net/loop.c core/net/loop.h \
	core/net/mx.c core/net/mx.h \
	core/net/mx_judge.c \
	core/net/resolve.c core/net/resolve.h \
	core/net/stream.c core/net/stream.h \
	core/net/stream_inner.h \
	core/net/stream_out.c \
	core/net/stream_tls.c \
	core/net/tls.c core/net/tls.h \
	core/net/tls_clients.c core/net/tls_clients.h \
	core/net/tls_tickets.c core/net/tls_tickets.h \
	core/net/wheel.c core/net/wheel.h

if HAVE_CHECK
UNIT_TESTS += tests/unit/net tests/unit/net_dns tests/unit/net_listener tests/unit/net_mx tests/unit/net_stream tests/unit/net_tls \
	tests/unit/net_tls_stream tests/unit/net_tickets
net_scene = tests/unit/net_scene.c tests/unit/net_scene.h
net_world = $(net_scene) tests/unit/certs.c tests/unit/certs.h \
	tests/unit/net_world.c tests/unit/net_world.h
tests_unit_net_SOURCES = tests/unit/net.c
tests_unit_net_listener_SOURCES = tests/unit/net_listener.c
tests_unit_net_dns_SOURCES = tests/unit/net_dns.c
tests_unit_net_mx_SOURCES = tests/unit/net_mx.c
tests_unit_net_stream_SOURCES = tests/unit/net_stream.c $(net_scene)
tests_unit_net_tickets_SOURCES = tests/unit/net_tickets.c tests/unit/certs.c tests/unit/certs.h
tests_unit_net_tls_SOURCES = tests/unit/net_tls.c $(net_world)
tests_unit_net_tls_stream_SOURCES = tests/unit/net_tls_stream.c $(net_world)
endif
