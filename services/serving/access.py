"""How a command reaches services that were named: TLS, and the API key.

All of it comes from the environment, where flags of ``cascade`` put what they are given, so that
a process in its place has it, too.  The key has no flag: others could read it in the list of
processes.
"""

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.serving.channels import PLAIN, ClientTls
from services.serving.settings import is_loopback
from services.serving.tls import TlsFiles

PREFIX = "CASCADE_"


class Access(BaseSettings):
    """What a caller shows and believes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_name: str = ""
    api_key: SecretStr = SecretStr("")
    api_key_file: str = ""

    @property
    def tls(self) -> ClientTls:
        """Plain where no authority is given.

        Raises:
            ValueError: half of it is given, or a file can't be used.
        """
        if not self.tls_ca:
            if self.tls_cert or self.tls_key or self.tls_name:
                raise ValueError("--tls-cert, --tls-key and --tls-name need --tls-ca")
            return PLAIN
        files = TlsFiles(self.tls_cert, self.tls_key, self.tls_ca)
        try:
            files.load()
        except ValueError as error:
            raise ValueError(str(error)) from error
        return ClientTls(files, self.tls_name)

    def metadata(self, address: str) -> tuple[tuple[str, str], ...]:
        """Of a call.

        Raises:
            ValueError: the key can't be read, or would cross a network in the clear.
        """
        key = self._key()
        if not key:
            return ()
        if not self.tls_ca and not is_loopback(address.rpartition(":")[0].strip("[]")):
            raise ValueError(f"an API key is not sent to {address} without TLS: give --tls-ca")
        return (("authorization", f"Bearer {key}"),)

    def _key(self) -> str:
        if not self.api_key_file:
            key = self.api_key.get_secret_value()
            where = f"{PREFIX}API_KEY"
        else:
            where = f"{PREFIX}API_KEY_FILE"
            try:
                key = Path(self.api_key_file).read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "no text"
                raise ValueError(f"{where}: can't read {self.api_key_file}: {why}") from error
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError(f"{where}: a key has printable ASCII alone")
        return key
