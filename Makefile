# The two commands: `make demo` runs the main job on a virtual line, `make test` the whole test suite; `make check` is what to
# run before each commit, in a minute.  All make their own virtual environment first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo base check test faults docs bench lint install trt-wheel aravis foreign clean

demo: $(VENV)/installed
	$(BIN)/python -m tests.virtual_line.demo

# After the demo: its parts once more, on an install without any extra.
base: $(VENV)/installed
	$(BIN)/python -m tests.virtual_line.base_install

# Linters, types, import contracts, and the tests that are not slow.
check: lint
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not faults"

# First what bears a neighbour on the other core, then the rest, one after the other.
test: $(VENV)/installed
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not faults"
	$(BIN)/python -m pytest -m "slow or faults" --durations=25

# Hours: every fault as often as the README says, and an hour's soak; with a GigE Vision camera of Aravis, without which some would be skipped.
faults: aravis
	$(BIN)/python -m pytest -m faults --all-faults -s -v

# Settings, commands, alarms and tables of the documents, made from the code.
docs: $(VENV)/installed
	$(BIN)/python -m tests.house.documents

bench: $(VENV)/installed
	$(BIN)/python -m tests.benchmarks

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Units and host settings; the program itself is installed with pip into /opt/inspect.
install:
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/system systemd/*.service systemd/*.target
	install -D -m 644 systemd/sysusers.conf $(DESTDIR)/usr/lib/sysusers.d/inspect.conf
	install -D -m 644 systemd/tmpfiles.conf $(DESTDIR)/usr/lib/tmpfiles.d/inspect.conf
	install -D -m 644 systemd/sysctl.conf $(DESTDIR)/usr/lib/sysctl.d/60-inspect.conf
	install -D -m 644 systemd/camera.network $(DESTDIR)/etc/systemd/network/60-inspect-camera.network
	install -D -m 644 systemd/gpu.conf $(DESTDIR)/usr/share/inspect/gpu.conf

# torch-tensorrt and TensorRT's bindings without their CUDA libraries, and stand-ins for those: for the tests that ask which operations
# it can convert, and that run its converters to the end. Needs a C compiler.
trt-wheel: $(VENV)/installed
	rm -rf $(VENV)/trt-wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(VENV)/trt-wheel \
		torch-tensorrt==2.14.0 dllist tensorrt_cu13_bindings==11.1.0.106
	rm -rf $(VENV)/trt-wheel/torch_tensorrt/lib
	mkdir $(VENV)/trt-wheel/lib
	for name in libnvinfer libnvinfer_plugin libnvonnxparser; do \
		$(CC) -shared -fPIC -Wl,-soname,$$name.so.11 -o $(VENV)/trt-wheel/lib/$$name.so.11 tests/engines/targets/trt/libraries.c || exit 1; \
	done

# Debian's gi for this environment, for cameras of kind "aravis"; after: apt install python3-gi gir1.2-aravis-0.8
aravis: $(VENV)/installed
	ln -sfn /usr/lib/python3/dist-packages/gi "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/gi"
	$(BIN)/python -c 'import gi; gi.require_version("Aravis", "0.8"); from gi.repository import Aravis'

# OPC UA and S7 on other implementations than ours, for tests: open62541 (o6), node-opcua and Snap7's C++ library (node-snap7, which is compiled).
# They need node 18 with its headers, npm and g++; versions are those that were tried.
foreign: $(VENV)/installed
	rm -rf $(VENV)/foreign
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(VENV)/foreign/python o6==2.2.0
	npm install --prefix $(VENV)/foreign --save-exact --no-package-lock --no-audit --no-fund node-opcua-client@2.180.0
	npm install --prefix $(VENV)/foreign --save-exact --no-package-lock --no-audit --no-fund node-snap7@1.0.9

clean:
	rm -rf $(VENV) demo build *.egg-info

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
