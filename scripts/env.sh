# Sourced by the Makefile, .ci/run and anyone who builds by hand: one compiler, one target folder.
# The target folder lives outside the checkout so that RocksDB's C++ (half an hour on two cores) is built once per machine.
export PATH="$HOME/.cargo/bin:$PATH"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/federated-asterisk/target}"
if command -v ccache >/dev/null 2>&1; then
  export CC="${CC:-ccache gcc}" CXX="${CXX:-ccache g++}"
  # RocksDB's objects are a few hundred megabytes in each profile.
  export CCACHE_MAXSIZE="${CCACHE_MAXSIZE:-5G}"
fi
