#!/bin/sh
# Brings what tests/interop needs from Debian: packages by apt-get where they are missing (then this must be root), and
# beside them, only unpacked for peers/apart.sh, the mail servers that apt would not install next to Postfix; and
# mta-sts-query into an environment of its own, and Haraka by npm from its lock. Nothing is started: policy-rc.d says no
# while packages are installed.
# Run it in the root of the repository; the argument is the folder of what is not installed.
set -eu
packages="systemd postfix swaks opendkim-tools libmail-dkim-perl rspamd unbound knot knot-dnsutils libgnutls-dane0 libnet-ssleay-perl libsasl2-modules"
apart="exim4-base exim4-daemon-light libidn12 opensmtpd"
folder=$1
policy=/usr/sbin/policy-rc.d

fail() { echo "interop: $*" >&2; exit 1; }
installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

command -v apt-get > /dev/null || fail "these tests run on Debian and Ubuntu: no apt-get here"
missing=
for package in $packages; do installed "$package" || missing="$missing $package"; done
for package in $apart; do [ -e "$folder/$package.deb" ] || missing="$missing $package"; done
if [ ! -x "$folder/sts/bin/mta-sts-query" ]; then
    python3 -m venv "$folder/sts"
    "$folder/sts/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r requirements-interop.lock || fail "pip install -r requirements-interop.lock failed"
fi
if [ ! -e "$folder/haraka/node_modules/Haraka/package.json" ]; then
    # Debian 12 has node 18, Haraka wants 20: without it the tests with Haraka are skipped, and say so.
    if command -v npm > /dev/null && [ "$(node --version | sed 's/^v//; s/\..*//')" -ge 20 ]; then
        mkdir -p "$folder/haraka"
        cp tests/interop/peers/haraka/package.json tests/interop/peers/haraka/package-lock.json "$folder/haraka/"
        # Scripts of packages are not run: none of these needs one.
        (cd "$folder/haraka" && npm ci --silent --no-audit --no-fund --omit=optional --ignore-scripts) || {
            rm -rf "$folder/haraka"
            echo "interop: npm ci failed, so nothing is tried against Haraka" >&2
        }
    else
        echo "interop: no npm with node 20 or newer here, so nothing is tried against Haraka" >&2
    fi
fi
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || fail "missing:$missing. Run as root, or install them with apt-get and run again"

if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q > /dev/null || fail "apt-get update failed"
echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $packages > /dev/null || fail "apt-get install failed:$missing"
for package in $packages; do installed "$package" || fail "$package is still missing"; done

loading=$(mktemp -d)
chmod 777 "$loading"
# shellcheck disable=SC2086
(cd "$loading" && apt-get download -q $apart > /dev/null) || fail "apt-get download failed: $apart"
mkdir -p "$folder"
for package in $apart; do mv "$loading/${package}"_*.deb "$folder/$package.deb"; done
rmdir "$loading"
