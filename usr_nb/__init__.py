"""usr_nb: a store for DNA, RNA and protein sequences in plain files.

The names below are the public API. They are imported when they are first used, so that
``import usr_nb`` stays fast and loads no notebook or command-line package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from usr_nb._version import __version__

_NAMES: dict[str, str] = {
    "Dataset": "usr_nb.dataset.core",
    "AddSequencesResult": "usr_nb.dataset.ingest",
    "merge_datasets": "usr_nb.dataset.merging",
    "DatasetInfo": "usr_nb.dataset.info",
    "OverlayInfo": "usr_nb.dataset.info",
    "Manifest": "usr_nb.dataset.info",
    "register_namespace": "usr_nb.dataset.registration",
    "init_root": "usr_nb.dataset.registration",
    "load_registry": "usr_nb.dataset.listing",
    "list_datasets": "usr_nb.dataset.listing",
    "parse_columns_spec": "usr_nb.contract.registry",
    "compute_id": "usr_nb.contract.essentials",
    "normalize_sequence": "usr_nb.contract.essentials",
    "validate_bio_type": "usr_nb.contract.essentials",
    "validate_alphabet": "usr_nb.contract.essentials",
    "ARROW_SCHEMA": "usr_nb.contract.essentials",
    "REQUIRED_COLUMNS": "usr_nb.contract.essentials",
    "SCHEMA_VERSION": "usr_nb.contract.essentials",
    "ID_HASH_SPEC": "usr_nb.contract.essentials",
    "USR_EVENT_VERSION": "usr_nb.contract.events",
    "Fingerprint": "usr_nb.contract.events",
    **dict.fromkeys(
        (
            "SequencesError",
            "ValidationError",
            "SchemaError",
            "AlphabetError",
            "NamespaceError",
            "DuplicateIDError",
            "DatasetNotFound",
            "AlreadyExists",
            "RecordNotFound",
            "PathNotFound",
            "StorageError",
            "ViewExpired",
            "LockTimeout",
            "ConcurrentWriteError",
            "ConflictError",
            "StalePlanError",
            "RemoteConfigError",
            "RemoteUnavailableError",
            "TransferError",
            "VerificationError",
            "UserAbort",
        ),
        "usr_nb.errors",
    ),
}

__all__ = [*_NAMES, "__version__"]  # noqa: PLE0604 - every entry is a str

if TYPE_CHECKING:
    from usr_nb.contract.essentials import (
        ARROW_SCHEMA as ARROW_SCHEMA,
    )
    from usr_nb.contract.essentials import (
        ID_HASH_SPEC as ID_HASH_SPEC,
    )
    from usr_nb.contract.essentials import (
        REQUIRED_COLUMNS as REQUIRED_COLUMNS,
    )
    from usr_nb.contract.essentials import (
        SCHEMA_VERSION as SCHEMA_VERSION,
    )
    from usr_nb.contract.essentials import (
        compute_id as compute_id,
    )
    from usr_nb.contract.essentials import (
        normalize_sequence as normalize_sequence,
    )
    from usr_nb.contract.essentials import (
        validate_alphabet as validate_alphabet,
    )
    from usr_nb.contract.essentials import (
        validate_bio_type as validate_bio_type,
    )
    from usr_nb.contract.events import (
        USR_EVENT_VERSION as USR_EVENT_VERSION,
    )
    from usr_nb.contract.events import (
        Fingerprint as Fingerprint,
    )
    from usr_nb.contract.registry import parse_columns_spec as parse_columns_spec
    from usr_nb.dataset.core import Dataset as Dataset
    from usr_nb.dataset.info import (
        DatasetInfo as DatasetInfo,
    )
    from usr_nb.dataset.info import (
        Manifest as Manifest,
    )
    from usr_nb.dataset.info import (
        OverlayInfo as OverlayInfo,
    )
    from usr_nb.dataset.ingest import AddSequencesResult as AddSequencesResult
    from usr_nb.dataset.merging import merge_datasets
    from usr_nb.dataset.listing import (
        list_datasets as list_datasets,
    )
    from usr_nb.dataset.merging import merge_datasets
    from usr_nb.dataset.listing import (
        load_registry as load_registry,
    )
    from usr_nb.dataset.registration import (
        init_root as init_root,
    )
    from usr_nb.dataset.registration import (
        register_namespace as register_namespace,
    )
    from usr_nb.errors import AlphabetError as AlphabetError
    from usr_nb.errors import AlreadyExists as AlreadyExists
    from usr_nb.errors import ConcurrentWriteError as ConcurrentWriteError
    from usr_nb.errors import ConflictError as ConflictError
    from usr_nb.errors import DatasetNotFound as DatasetNotFound
    from usr_nb.errors import DuplicateIDError as DuplicateIDError
    from usr_nb.errors import LockTimeout as LockTimeout
    from usr_nb.errors import NamespaceError as NamespaceError
    from usr_nb.errors import PathNotFound as PathNotFound
    from usr_nb.errors import RecordNotFound as RecordNotFound
    from usr_nb.errors import RemoteConfigError as RemoteConfigError
    from usr_nb.errors import RemoteUnavailableError as RemoteUnavailableError
    from usr_nb.errors import SchemaError as SchemaError
    from usr_nb.errors import SequencesError as SequencesError
    from usr_nb.errors import StalePlanError as StalePlanError
    from usr_nb.errors import StorageError as StorageError
    from usr_nb.errors import TransferError as TransferError
    from usr_nb.errors import UserAbort as UserAbort
    from usr_nb.errors import ValidationError as ValidationError
    from usr_nb.errors import VerificationError as VerificationError
    from usr_nb.errors import ViewExpired as ViewExpired


def __getattr__(name: str) -> Any:
    module = _NAMES.get(name)
    if module is None:
        raise AttributeError(f"module 'usr_nb' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
