"""Addresses: requests go to public web servers only, whatever form an address takes and whenever it changes."""

from __future__ import annotations

import pytest

from jobledger.delivery.address import allowed, checked
from jobledger.errors import AddressRefused

PRIVATE = (
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("100.64.0.1", "100.127.255.255", "::1", "fc00::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "2002:c0a8:101::1", "64:ff9b::127.0.0.1"),
)
NEVER = (
    *("0.0.0.0", "169.254.169.254", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "168.63.129.16"),  # noqa: S104
    *("::", "fe80::1", "fe80::1%eth0", "ff02::1", "fec0::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
    *("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254", "::ffff:192.0.0.192"),
    *("2002:a9fe:a9fe::1", "::ffff:0.0.0.0", "", "localhost", "1.2.3", "0x7f000001", "2130706433"),
)
SPECIAL = (
    *("192.0.0.170", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1"),
    *("2001::1", "2001:db8::1", "3fff::1", "::1.2.3.4", "64:ff9b:1::1", "100::1", "5f00::1", "4000::1"),
)
PUBLIC = ("1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "2002:101:101::1", "64:ff9b::101:101")


def test_only_public_addresses_are_allowed_by_themselves() -> None:
    """Private, shared, special and embedded addresses are refused; by a setting one's own networks are allowed."""
    assert [one for one in (*PRIVATE, *NEVER, *SPECIAL) if allowed(one)] == []
    assert [one for one in PUBLIC if not allowed(one)] == []
    assert [one for one in (*PRIVATE, *PUBLIC) if not allowed(one, private=True)] == []
    assert [one for one in NEVER if allowed(one, private=True)] == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "//example.com/",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:word@example.com/",
        "https://@example.com/",
        "https://example.com/#part",
        "https://example.com:22/",
        "https://example.com:80/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://localhost/",
        "https://intern/",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://127.0.0.1/",
        "https://1.1.1.1.example.com.0x10/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://[::]/",
        "https://\uff11\uff12\uff17.0.0.1/",
        "https://\u24dbocalhost/",
        "https://exa mple.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/\r\nX: 1",
        "https://example..com/",
        "https://.example.com/",
        "https://example.com/" + "a" * 2048,
        "",
    ],
)
def test_a_url_that_is_no_public_web_servers_is_refused(url: str) -> None:
    """Other schemes, users, ports of other services, bare names and odd ways to write a loopback address."""
    with pytest.raises(AddressRefused) as refused:
        checked(url)
    assert len(url) < 9 or url not in str(refused.value)


def test_a_proper_url_is_taken_as_it_is() -> None:
    """Full names, public literals, ports of one's own; and plain HTTP to oneself where that is allowed."""
    for url in (
        "https://example.com/hook?a=b",
        "https://example.com:8443/",
        "https://xn--exmple-cua.de/%20",
        "https://1.1.1.1/",
        "https://[2606:4700:4700::1111]/",
        "https://a.b.example.com./x",
    ):
        assert str(checked(url)) == url
    for url in ("http://localhost:8080/", "http://127.0.0.1/", "http://[::1]:9000/", "http://db/"):
        assert str(checked(url, private=True)) == url
    with pytest.raises(AddressRefused):
        checked("http://169.254.169.254/latest/meta-data", private=True)
