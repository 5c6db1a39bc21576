# SPDX-License-Identifier: Apache-2.0
# The load generator and the sink are used by tests as well; `make bench` runs the comparison.
check_PROGRAMS += tests/bench/load tests/bench/sink
tests_bench_load_SOURCES = tests/bench/load.c tests/bench/client.c tests/bench/client.h \
	tests/bench/figures.c tests/bench/figures.h \
	tests/bench/tls13.c tests/bench/tls13.h tests/bench/tls13_keys.c tests/bench/tls13_keys.h
tests_bench_load_LDADD = $(OPENSSL_LIBS) $(SODIUM_LIBS)
tests_bench_sink_SOURCES = tests/bench/sink.c tests/bench/sink_talk.c tests/bench/sink.h
tests_bench_sink_LDADD =

EXTRA_DIST += tests/lib/__init__.py tests/lib/contenders.py tests/lib/dovecot_auth.py \
	tests/lib/machine.py tests/lib/postern.py tests/lib/postfix.py tests/lib/proc.py \
	tests/lib/traffic.py \
	tests/bench/bench.py tests/bench/postfix-main.cf tests/bench/targets.py \
	tests/system/test_tools.py

# Postern beside Postfix; BENCH_FLAGS=--quick for a short look.
BENCH_FLAGS =
.PHONY: bench
bench: all tests/bench/load tests/bench/sink tests/driver/mail_driver chain-bench spool-bench
	/usr/bin/env python3 $(srcdir)/tests/bench/bench.py --builddir '$(abs_top_builddir)' $(BENCH_FLAGS)
	/usr/bin/env python3 $(srcdir)/tests/bench/modules.py --builddir '$(abs_top_builddir)'
	$(MAKE) encrypt-bench
	$(MAKE) mx-bench
	$(MAKE) waiting-bench

# Mail to 1,000 domains by the DNS, beside Postfix: in network and mount namespaces of its own, as
# root. MX_BENCH_FLAGS=--quick for a short look.
MX_BENCH_FLAGS =
.PHONY: mx-bench
mx-bench: all tests/bench/load tests/bench/sink
	/usr/bin/env python3 $(srcdir)/tests/bench/mx.py --builddir '$(abs_top_builddir)' $(MX_BENCH_FLAGS)

# S/MIME and OpenPGP beside openssl and gpg by hand. ENCRYPT_BENCH_FLAGS=--quick for a short look.
ENCRYPT_BENCH_FLAGS =
.PHONY: encrypt-bench
encrypt-bench: all tests/bench/load tests/bench/sink
	/usr/bin/env python3 $(srcdir)/tests/bench/encrypt.py --builddir '$(abs_top_builddir)' $(ENCRYPT_BENCH_FLAGS)

# Prints what the spool alone can do: in clear, without indexes, encrypted.
check_PROGRAMS += tests/bench/spool-bench
tests_bench_spool_bench_SOURCES = tests/bench/spool_bench.c
.PHONY: spool-bench
spool-bench: tests/bench/spool-bench
	tests/bench/spool-bench spool-bench.d
	rm -r spool-bench.d
EXTRA_DIST += tests/bench/encrypt.py tests/bench/modules.py tests/bench/mx.py

# Prints what entries of the pipeline cost a message.
if HAVE_CHECK
check_PROGRAMS += tests/bench/chain-bench
tests_bench_chain_bench_SOURCES = tests/bench/chain_bench.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_bench_chain_bench_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
endif
.PHONY: chain-bench
chain-bench: tests/bench/chain-bench tests/modules/idle.la tests/modules/slow.la
	POSTERN_BUILDDIR='$(abs_top_builddir)' tests/bench/chain-bench

# A spool with many messages that wait, for tests and measurements.
check_PROGRAMS += tests/bench/spoolgen
tests_bench_spoolgen_SOURCES = tests/bench/spoolgen.c
# Prints what waiting messages cost a start, by the index checkpoint and without it, in memory, and
# those that come beside them.
WAITING = 200000
.PHONY: waiting-bench
waiting-bench: tests/bench/spoolgen tests/bench/spool-bench
	rm -rf tests/bench/waiting.d
	tests/bench/spool-bench tests/bench/waiting.d
	tests/bench/spoolgen fill tests/bench/waiting.d $(WAITING)
	tests/bench/spoolgen load tests/bench/waiting.d
	tests/bench/spool-bench tests/bench/waiting.d
	rm -rf tests/bench/waiting.d
	tests/bench/spoolgen fill tests/bench/waiting.d $(WAITING) 10240
	tests/bench/spoolgen compare tests/bench/waiting.d
	rm -rf tests/bench/waiting.d
