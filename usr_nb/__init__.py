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
    "doctor": "usr_nb.dataset.doctor.run",
    "Checkup": "usr_nb.dataset.doctor.report",
    "DatasetInfo": "usr_nb.dataset.info",
    "OverlayInfo": "usr_nb.dataset.info",
    "Manifest": "usr_nb.dataset.info",
    "register_namespace": "usr_nb.dataset.registration",
    "init_root": "usr_nb.dataset.registration",
    "load_registry": "usr_nb.dataset.listing",
    "load_columns": "usr_nb.dataset.columns",
    "set_column": "usr_nb.dataset.columns",
    "ColumnInfo": "usr_nb.contract.columns",
    "panel": "usr_nb.panel",
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
    "F": "usr_nb.filter.build",
    "Filter": "usr_nb.filter.tree",
    "Profile": "usr_nb.dataset.profile.model",
    "Selection": "usr_nb.filter.selection",
    "parse_filter": "usr_nb.filter.line",
    "filter_from_json": "usr_nb.filter.codec",
    "Progress": "usr_nb.contract.progress",
    "reporting": "usr_nb.contract.progress",
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
            "UsedPlanError",
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
    from usr_nb import (
        panel as panel,
    )
    from usr_nb.contract.columns import (
        ColumnInfo as ColumnInfo,
    )
    from usr_nb.contract.essentials import (
        ARROW_SCHEMA as ARROW_SCHEMA,
        ID_HASH_SPEC as ID_HASH_SPEC,
        REQUIRED_COLUMNS as REQUIRED_COLUMNS,
        SCHEMA_VERSION as SCHEMA_VERSION,
        compute_id as compute_id,
        normalize_sequence as normalize_sequence,
        validate_alphabet as validate_alphabet,
        validate_bio_type as validate_bio_type,
    )
    from usr_nb.contract.events import (
        USR_EVENT_VERSION as USR_EVENT_VERSION,
        Fingerprint as Fingerprint,
    )
    from usr_nb.contract.progress import (
        Progress as Progress,
        reporting as reporting,
    )
    from usr_nb.contract.registry import (
        parse_columns_spec as parse_columns_spec,
    )
    from usr_nb.dataset.columns import (
        load_columns as load_columns,
        set_column as set_column,
    )
    from usr_nb.dataset.core import (
        Dataset as Dataset,
    )
    from usr_nb.dataset.doctor.report import (
        Checkup as Checkup,
    )
    from usr_nb.dataset.doctor.run import (
        doctor as doctor,
    )
    from usr_nb.dataset.info import (
        DatasetInfo as DatasetInfo,
        Manifest as Manifest,
        OverlayInfo as OverlayInfo,
    )
    from usr_nb.dataset.ingest import (
        AddSequencesResult as AddSequencesResult,
    )
    from usr_nb.dataset.listing import (
        list_datasets as list_datasets,
        load_registry as load_registry,
    )
    from usr_nb.dataset.merging import (
        merge_datasets as merge_datasets,
    )
    from usr_nb.dataset.profile.model import (
        Profile as Profile,
    )
    from usr_nb.dataset.registration import (
        init_root as init_root,
        register_namespace as register_namespace,
    )
    from usr_nb.errors import (
        AlphabetError as AlphabetError,
        AlreadyExists as AlreadyExists,
        ConcurrentWriteError as ConcurrentWriteError,
        ConflictError as ConflictError,
        DatasetNotFound as DatasetNotFound,
        DuplicateIDError as DuplicateIDError,
        LockTimeout as LockTimeout,
        NamespaceError as NamespaceError,
        PathNotFound as PathNotFound,
        RecordNotFound as RecordNotFound,
        RemoteConfigError as RemoteConfigError,
        RemoteUnavailableError as RemoteUnavailableError,
        SchemaError as SchemaError,
        SequencesError as SequencesError,
        StalePlanError as StalePlanError,
        StorageError as StorageError,
        TransferError as TransferError,
        UsedPlanError as UsedPlanError,
        UserAbort as UserAbort,
        ValidationError as ValidationError,
        VerificationError as VerificationError,
        ViewExpired as ViewExpired,
    )
    from usr_nb.filter.build import (
        F as F,
    )
    from usr_nb.filter.codec import (
        filter_from_json as filter_from_json,
    )
    from usr_nb.filter.line import (
        parse_filter as parse_filter,
    )
    from usr_nb.filter.selection import (
        Selection as Selection,
    )
    from usr_nb.filter.tree import (
        Filter as Filter,
    )


def __getattr__(name: str) -> Any:
    module = _NAMES.get(name)
    if module is None:
        raise AttributeError(f"module 'usr_nb' has no attribute {name!r}")
    loaded = importlib.import_module(module)
    # A name may be a module itself: `panel`.
    value = loaded if module == f"{__name__}.{name}" else getattr(loaded, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
