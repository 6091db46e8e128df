"""The user's own images, in whatever form they come."""

from dataprep.layouts.folder import list_folder
from dataprep.layouts.labelled_list import list_labelled
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.parquet import find_parquet, list_parquet


def list_own_images(request: ListingRequest) -> Listing:
    """What a list labels, parquet files, or class folders. Raises ValueError for what is neither."""
    source, labels = request.source_path(), request.labels
    if labels.labels_from:
        return list_labelled(request)
    files = find_parquet(source)
    if files:
        return list_parquet(request, files)
    if labels.image_column or labels.label_column:
        raise ValueError(f"--image-column, --label-column: --source {source} does not consist of parquet files")
    return list_folder(request)
