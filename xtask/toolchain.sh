# Sourced by `x`. Puts a Rust toolchain with the bare-metal target first in $PATH, setting it up if need be:
#   1. rustup, if it has the pinned toolchain or can download it: that and nothing else;
#   2. the machine's own rustc of the pinned version with the target;
#   3. Debian's rustc-web packages, with core and alloc for the target built from rust-web-src.
# Every step is looked at first, so that a second run does nothing and needs no network.

toolchain_pin=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$FERROXEN_ROOT/rust-toolchain.toml")
toolchain_target=x86_64-unknown-none
toolchain_packages='rustc-web cargo-web rust-web-src rust-web-clippy rustfmt-web rust-web-llvm lld-22'

toolchain_say() { printf '=> %s\n' "$*" >&2; }
toolchain_fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# True if the rustc command given compiles for the target.
toolchain_compiles() {
	tc_out=$(mktemp -d) || return 1
	if printf '#![no_std]\nextern crate alloc;\n' >"$tc_out/t.rs" &&
		"$@" --target $toolchain_target --crate-type lib --emit metadata -o "$tc_out/t.rmeta" "$tc_out/t.rs" 2>/dev/null; then
		rm -rf "$tc_out"
		return 0
	fi
	rm -rf "$tc_out"
	return 1
}

# Runs a command as root.
toolchain_root() {
	if [ "$(id -u)" = 0 ]; then
		env DEBIAN_FRONTEND=noninteractive "$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo env DEBIAN_FRONTEND=noninteractive "$@"
	else
		toolchain_fail "not root and no sudo here; as root, run: $*"
	fi
}

# Runs a long command as root: one line of progress for each package on a terminal, everything in the log.
toolchain_watched() {
	tc_log=$FERROXEN_CACHE/setup.log
	mkdir -p "$FERROXEN_CACHE"
	tc_tty=0
	[ -t 2 ] && tc_tty=1
	{
		toolchain_root "$@" 2>&1 </dev/null
		echo "toolchain-exit $?"
	} | tee -a "$tc_log" | awk -v tty=$tc_tty '
		/^Get:/ { word = "downloading " $4 "/" $5; got++ }
		/^Unpacking / { word = "unpacking " $2; unpacked++ }
		/^Setting up / { word = "setting up " $3; set++ }
		/^(Get:|Unpacking |Setting up )/ { if (tty) printf "\r\033[K   %.70s", word; fflush() }
		/^toolchain-exit / { status = $2 }
		END {
			if (tty) printf "\r\033[K"
			if (set) printf "   %d packages set up\n", set
			exit status
		}' >&2
}

# Installs the Debian packages given, all at once, refusing to remove anything.
toolchain_apt() {
	tc_try() { toolchain_watched apt-get install -y -q --no-install-recommends --no-remove "$@"; }
	# A fresh machine has no package lists.
	if ! apt-cache show "$@" >/dev/null 2>&1; then
		toolchain_say 'fetching package lists (apt-get update)'
		toolchain_watched apt-get update -q || toolchain_fail "apt-get update failed; see $tc_log and the network"
	fi
	tc_try "$@" && return 0
	toolchain_watched apt-get update -q || true
	tc_try "$@" || toolchain_fail "could not install $* (see $tc_log)"
}

# A linker and the C library for programs of this machine.
toolchain_cc() {
	tc_missing=
	command -v cc >/dev/null 2>&1 || tc_missing="$tc_missing gcc"
	[ -e /usr/lib/x86_64-linux-gnu/libc.a ] || [ -e /usr/lib64/libc.a ] || [ -e /usr/lib/libc.a ] ||
		tc_missing="$tc_missing libc6-dev"
	[ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] ||
		[ -e /etc/ssl/ca-bundle.pem ] || tc_missing="$tc_missing ca-certificates"
	[ -z "$tc_missing" ] && return 0
	if ! command -v apt-get >/dev/null 2>&1; then
		toolchain_fail "no apt here: install the like of Debian's$tc_missing, then try again"
	fi
	toolchain_say "this will install on the machine:$tc_missing"
	# shellcheck disable=SC2086
	toolchain_apt $tc_missing
}

# 1. rustup.
toolchain_rustup() {
	if command -v rustup >/dev/null 2>&1; then
		tc_rustup=rustup
	elif [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/rustup" ]; then
		tc_rustup=${CARGO_HOME:-$HOME/.cargo}/bin/rustup
		PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
	else
		return 1
	fi
	if toolchain_compiles "$tc_rustup" run "$toolchain_pin" rustc; then
		return 0
	fi
	# It could not download before, and the machine's own compiler did: do not try each time.
	if [ -e "$FERROXEN_CACHE/rustup-cannot-download" ] && toolchain_compiles /usr/bin/rustc; then
		return 1
	fi
	toolchain_say "installing Rust $toolchain_pin with rustup (into rustup's own folder)"
	if RUST_BACKTRACE=0 timeout 900 "$tc_rustup" toolchain install "$toolchain_pin" --profile minimal --no-self-update \
		--component clippy --component rustfmt --target $toolchain_target >&2 &&
		toolchain_compiles "$tc_rustup" run "$toolchain_pin" rustc; then
		return 0
	fi
	toolchain_say "rustup cannot download here; taking Debian's packages"
	mkdir -p "$FERROXEN_CACHE" && : >"$FERROXEN_CACHE/rustup-cannot-download"
	return 1
}

# 2. and 3. without rustup's downloads. Leaves tc_bin, the folder of rustc and cargo.
toolchain_system() {
	tc_bin=/usr/bin
	if [ -x $tc_bin/rustc ] && [ -x $tc_bin/cargo ] && toolchain_compiles $tc_bin/rustc; then
		return 0
	fi
	if ! command -v apt-get >/dev/null 2>&1; then
		toolchain_fail "no Rust $toolchain_pin with the target $toolchain_target, and no apt here. Needed:
  - Rust $toolchain_pin with clippy, rustfmt and the target $toolchain_target (https://rustup.rs does it)
  - a C compiler as linker, the C library's headers and static library
  - qemu-system-x86_64 (10 or later), binutils, Xen's public headers (/usr/include/xen)"
	fi
	toolchain_say "this will install on the machine: $toolchain_packages (about 700 MB)"
	# shellcheck disable=SC2086
	toolchain_apt $toolchain_packages
	toolchain_compiles $tc_bin/rustc || toolchain_build_target
	toolchain_compiles $tc_bin/rustc || toolchain_fail "Debian's rustc does not compile for $toolchain_target even now"
}

# Builds core, alloc and compiler_builtins for the target from Debian's source package.
toolchain_build_target() {
	tc_lib=$($tc_bin/rustc --print sysroot)/lib/rustlib
	tc_src=$tc_lib/src/rust/library
	[ -d "$tc_src/alloc" ] || toolchain_fail "rust-web-src is not where its compiler looks: $tc_src"
	toolchain_say "building core and alloc for $toolchain_target (a minute, once)"
	tc_dir=$(mktemp -d)
	mkdir "$tc_dir/src"
	printf '#![feature(no_core)]\n#![no_core]\n' >"$tc_dir/src/lib.rs"
	cat >"$tc_dir/Cargo.toml" <<-T
		[package]
		name = "rt"
		version = "0.0.0"
		edition = "2021"
		[dependencies]
		alloc = { path = "$tc_src/alloc", features = ["compiler-builtins-mem"] }
		[profile.release]
		panic = "abort"
		codegen-units = 1
		[profile.release.package.compiler_builtins]
		codegen-units = 10000
		[workspace]
	T
	if ! (cd "$tc_dir" && PATH=/usr/bin:/bin CARGO_TARGET_DIR="$tc_dir/target" RUSTC_BOOTSTRAP=1 \
		RUSTFLAGS="--remap-path-prefix=$tc_src=/rustc/library -Cembed-bitcode=yes -Zforce-unstable-if-unmarked" \
		$tc_bin/cargo build --offline --release --target $toolchain_target >"$tc_dir/log" 2>&1); then
		tail -n 20 "$tc_dir/log" >&2
		toolchain_fail "core and alloc do not build for $toolchain_target with $($tc_bin/rustc --version)"
	fi
	tc_to=$tc_lib/$toolchain_target/lib
	toolchain_root mkdir -p "$tc_to"
	for tc_crate in core alloc compiler_builtins; do
		toolchain_root rm -f "$tc_to/lib$tc_crate-"*.rlib
		toolchain_root cp "$tc_dir/target/$toolchain_target/release/deps/lib$tc_crate-"*.rlib "$tc_to/"
	done
	rm -rf "$tc_dir"
}

# rustup's proxies honour rust-toolchain.toml only for a toolchain of that name; another version goes first in $PATH.
toolchain_adopt() {
	tc_version=$($tc_bin/rustc --version | cut -d' ' -f2)
	tc_oldest=$(printf '%s\n%s\n' "$tc_version" "$toolchain_pin" | sort -V | head -n 1)
	if [ "$tc_oldest" != "$toolchain_pin" ]; then
		toolchain_fail "this machine's Rust is $tc_version, older than $toolchain_pin: enable Debian's security archive, or install rustup"
	fi
	if [ "$tc_version" != "$toolchain_pin" ]; then
		printf 'note: building with Rust %s of this machine; the pinned one is %s\n' "$tc_version" "$toolchain_pin" >&2
		CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS=allow
		export CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS
	elif command -v rustup >/dev/null 2>&1; then
		tc_chain=${RUSTUP_HOME:-$HOME/.rustup}/toolchains/$toolchain_pin-x86_64-unknown-linux-gnu/bin
		mkdir -p "$tc_chain"
		for tc_tool in cargo rustc rustdoc cargo-clippy clippy-driver cargo-fmt rustfmt; do
			ln -sf "$tc_bin/$tc_tool" "$tc_chain/$tc_tool"
		done
	fi
	PATH=$tc_bin:$PATH
}

[ -n "$toolchain_pin" ] || toolchain_fail 'rust-toolchain.toml names no channel'
[ "$(uname -m)" = x86_64 ] || toolchain_fail "only x86_64 machines are supported, this is $(uname -m)"
toolchain_cc
if ! toolchain_rustup; then
	toolchain_system
	toolchain_adopt
fi
export PATH
