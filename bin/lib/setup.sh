# Shared by bin/demo, bin/test and bin/bench: finds what they need, and installs what is missing.
#
# The scripts source it after `set -euo pipefail`. It changes to the root of the repository, so
# that they can be called from anywhere.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT"

# The VM reads file names and terminals as UTF-8, also where no locale is set up.
export LANG=C.UTF-8 LC_ALL=C.UTF-8
export ELIXIR_ERL_OPTIONS="${ELIXIR_ERL_OPTIONS:+$ELIXIR_ERL_OPTIONS }+fnu"

# The versions below which nothing here works.
MINIMUM_ELIXIR=1.14
MINIMUM_POSTGRES=14

say() { printf '%s\n' "$*" >&2; }
die() {
  say "** $*"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Whether version $1 is at least version $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

minimum_rust() { sed -n 's/^rust-version = "\([0-9.]*\)"/\1/p' Cargo.toml | head -n 1; }

# Cargo is not taken from apt: the distributions' is older than the library needs.
find_cargo() {
  local wanted version
  wanted=$(minimum_rust)
  if ! have cargo; then
    # The installer of Rust changes the PATH of new shells only.
    if [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
      export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    else
      die "cargo was not found. Install Rust $wanted or newer from https://rustup.rs, then run this again."
    fi
  fi
  version=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) || true
  [ -n "$version" ] || die "cargo --version does not work. Install Rust $wanted or newer from https://rustup.rs."
  at_least "$version" "$wanted" ||
    die "cargo is version $version; Rust $wanted or newer is needed. Run: rustup update"
}

# The directory with initdb, pg_ctl, psql and pgbench of the newest server that is installed.
find_postgres() {
  local candidate
  for candidate in "${PG_BIN:-}" $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) \
    "$(have initdb && dirname "$(readlink -f "$(command -v initdb)")" || true)" \
    "$(have pg_config && pg_config --bindir 2>/dev/null || true)"; do
    if [ -n "$candidate" ] && [ -x "$candidate/initdb" ] && [ -x "$candidate/pg_ctl" ] &&
      [ -x "$candidate/psql" ] && { [ -x "$candidate/pgbench" ] || have pgbench; }; then
      PG_BIN=$candidate
      return 0
    fi
  done
  return 1
}

# pg_query's build wants libclang, and clang's own headers beside it.
have_libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] && return 0
  compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null &&
    compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null && return 0
  # Not Debian's layout: clang itself brings the library.
  ! have apt-get && have clang
}

have_erlang_header() {
  compgen -G "$(erl -noshell -eval 'io:put_chars(code:root_dir()), halt().')/usr/include/erl_nif.h" >/dev/null ||
    compgen -G "$(erl -noshell -eval 'io:put_chars(code:root_dir()), halt().')/erts-*/include/erl_nif.h" >/dev/null
}

# Debian cuts OTP into packages: Elixir can be there and a library that it needs not.
have_otp() {
  erl -noshell -eval '
    Missing = [A || A <- [crypto, public_key, ssl, inets, runtime_tools, parsetools, tools],
                    is_tuple(code:lib_dir(A))],
    halt(length(Missing)).' >/dev/null 2>&1
}

# Adds to MISSING_PACKAGES (what apt calls it) and MISSING_NAMES (for people without apt).
missing() {
  MISSING_NAMES+=("$1")
  shift
  MISSING_PACKAGES+=("$@")
}

# need THING...: elixir, postgres, libclang, http, dialyzer. A C compiler is always needed.
need() {
  local thing
  MISSING_PACKAGES=()
  MISSING_NAMES=()
  find_cargo
  have cc || missing "a C compiler" build-essential
  for thing in "$@"; do
    case $thing in
      elixir)
        if ! have mix || ! have erl; then
          missing "Elixir $MINIMUM_ELIXIR or newer, with Erlang/OTP 25 or newer" \
            elixir erlang-dev erlang-nox
        else
          have_otp || missing "Erlang/OTP's crypto, ssl, inets, parsetools and tools" erlang-nox
          have_erlang_header || missing "Erlang's headers" erlang-dev
        fi
        ;;
      postgres)
        find_postgres || missing "PostgreSQL $MINIMUM_POSTGRES or newer, server and pgbench" \
          postgresql postgresql-contrib
        ;;
      libclang) have_libclang || missing "libclang with its headers" libclang-dev ;;
      http)
        have curl || missing "curl" curl
        have wrk || missing "wrk, which loads web servers" wrk
        have strace || missing "strace" strace
        ;;
      dialyzer) have dialyzer || missing "Erlang's dialyzer" erlang-dialyzer ;;
      *) die "bin/lib/setup.sh does not know $thing" ;;
    esac
  done

  [ ${#MISSING_PACKAGES[@]} -eq 0 ] || install_missing
  check_versions "$@"
}

install_missing() {
  local name as_root=()
  if ! have apt-get; then
    say "** This needs what is not installed here, and apt-get, which would install it, is missing too."
    say "   Install these, then run it again:"
    for name in "${MISSING_NAMES[@]}"; do say "     - $name"; done
    exit 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || die "These packages have to be installed by root: ${MISSING_PACKAGES[*]}"
    as_root=(sudo)
  fi
  say "Installing: ${MISSING_PACKAGES[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a apt-get -y -qq
    -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update >&2 || say "apt-get update failed; trying with the lists that are there."
  without_main_cluster "${as_root[@]}"
  local status=0
  "${apt[@]}" install --no-install-recommends "${MISSING_PACKAGES[@]}" >&2 </dev/null || status=$?
  with_main_cluster "${as_root[@]}"
  [ $status -eq 0 ] || die "apt-get could not install: ${MISSING_PACKAGES[*]}"
  hash -r
}

# Debian creates and starts a database server along with the package. The scripts start servers of
# their own in temporary directories, so the one of the system is not created; if one is there
# already, it stays as it is.
MAIN_CLUSTER_OFF=/etc/postgresql-common/createcluster.d/shape_router.conf
without_main_cluster() {
  case " ${MISSING_PACKAGES[*]} " in
    *" postgresql "*)
      "$@" mkdir -p "$(dirname "$MAIN_CLUSTER_OFF")"
      echo 'create_main_cluster = false' | "$@" tee "$MAIN_CLUSTER_OFF" >/dev/null
      ;;
  esac
}
with_main_cluster() { [ ! -e "$MAIN_CLUSTER_OFF" ] || "$@" rm -f "$MAIN_CLUSTER_OFF"; }

# What apt installs can still be too old.
check_versions() {
  local version
  case " $* " in *" elixir "*)
    have_otp || die "Erlang/OTP lacks one of crypto, public_key, ssl, inets, runtime_tools, parsetools, tools."
    version=$(elixir --short-version)
    at_least "${version%-*}" "$MINIMUM_ELIXIR" ||
      die "Elixir is version $version; $MINIMUM_ELIXIR or newer is needed. This system's packages" \
        "do not have it: install it from https://elixir-lang.org/install.html"
    ;;
  esac
  case " $* " in *" postgres "*)
    find_postgres || die "PostgreSQL's server programs (initdb, pg_ctl, psql, pgbench) were not found; set PG_BIN."
    version=$("$PG_BIN/postgres" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
    at_least "$version" "$MINIMUM_POSTGRES" ||
      die "PostgreSQL in $PG_BIN is version $version; $MINIMUM_POSTGRES or newer is needed."
    export PG_BIN
    ;;
  esac
}
