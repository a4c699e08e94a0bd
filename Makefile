# SPDX-License-Identifier: BSD-2-Clause
# The short front: everything is built by Meson in build/. `make demo` and `make test`, and
# `make test-kernels`, install what is missing first (Debian and its derivatives); the other targets
# only say what is.
PREFIX ?= /usr/local
BUILD := build
STAMP := $(BUILD)/.packages

.PHONY: all demo test test-kernels bench install uninstall clean packages

# The names by which people find things, whatever rooms they are built in.
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)
	@cd $(BUILD) && ln -sf cli/waybill relay/waybill-relay lib/libwaybill.so lib/libwaybill.a .

$(BUILD)/build.ninja:
	@packaging/packages check build
	@meson setup $(BUILD) --prefix=$(PREFIX) >$(BUILD).log 2>&1 || { cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }
	@mv $(BUILD).log $(BUILD)/setup.log

packages:
	@packaging/packages install build test

demo: packages
	@$(MAKE) --no-print-directory all
	@examples/demo/run

test: packages
	@$(MAKE) --no-print-directory all
	@tests/run

# KERNELS="6.1 newest" TESTS=chain: fewer of them. tests/kernels/run says more.
test-kernels:
	@packaging/packages install build test kernels
	@$(MAKE) --no-print-directory all
	@tests/kernels/run

bench: all
	@packaging/packages check bench
	@bench/run

install: all
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@DESTDIR=$(DESTDIR) ninja -C $(BUILD) install
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" -eq 0 ]; then ldconfig; fi

uninstall:
	@test -f $(BUILD)/build.ninja || { echo "uninstall: nothing built here (make install first)" >&2; exit 1; }
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@packaging/uninstall $(BUILD) "$(DESTDIR)"

clean:
	@rm -rf $(BUILD)
