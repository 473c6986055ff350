"""Certificates of a test's own: two authorities that know nothing of each other, and what each has signed; valid from 2000 to 2999."""

import ssl
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from lab.process import Account, hand_over

HOST = "localhost"  # for which servers' certificates are made; they say nothing of 127.0.0.1


class Authority:
    """A certificate authority whose files lie in one folder.

    Args:
        folder: an existing one; the account of the servers must be able to enter it.
        account: who is to read the private keys; by default ourselves.
    """

    def __init__(self, folder: Path, name: str, account: Account | None = None) -> None:
        self._folder, self._name, self._account, self._made = folder, name, account, trustme.CA()
        self.file = folder / f"{name}.pem"
        self._made.cert_pem.write_to_path(self.file)
        self.file.chmod(0o644)

    def issue(self, identity: str = HOST) -> Path:
        """A PEM file with a certificate for a host and its private key."""
        path = self._folder / f"{self._name}-{identity}.pem"
        self._made.issue_cert(identity).private_key_and_cert_chain_pem.write_to_path(path)
        path.chmod(0o600)
        hand_over(path, self._folder, self._account)
        return path

    def issue_apart(self, identity: str = HOST) -> tuple[Path, Path]:
        """As `issue`, the certificate and the private key in a file each."""
        certificate, key = (self._folder / f"{self._name}-{identity}.{kind}" for kind in ("crt", "key"))
        made = self._made.issue_cert(identity)
        made.cert_chain_pems[0].write_to_path(certificate)
        made.private_key_pem.write_to_path(key)
        for path in (certificate, key):
            path.chmod(0o600)
            hand_over(path, self._folder, self._account)
        return certificate, key

    def server_context(self, *, asks: "Authority | None" = None) -> ssl.SSLContext:
        """What a server shows its clients; with `asks` it wants a certificate of that authority from them."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=asks.file if asks else None)
        context.load_cert_chain(self.issue())
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def by_tls(url: str, host: str, port: int) -> str:
    """The URL of a broker, by TLS at another host and port."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return parts._replace(scheme=f"{parts.scheme}s", netloc=f"{login}@{host}:{port}").geturl()
