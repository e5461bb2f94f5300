"""Partner messaging over folders: what is written here is fetched by SFTP, a mount, a courier.

    root/
      outbound/partner/<id>/<message id>.json          one event each, in CloudEvents JSON
      outbound/sales_partner/<id>/<message id>.json
      inbound/<partner id>/*.json                      one event
      inbound/<partner id>/*.jsonl, *.ndjson           one event a line
      inbound/<partner id>/done/                       where they go when all was taken
      inbound/<partner id>/refused/                    else, with <name>.reasons.json beside

The folder is the credential: who can write into `inbound/<partner id>` is that partner. The file
system has to tell upper and lower case apart, as ids do.
"""

from __future__ import annotations

from consignment.adapters.filedrop.drop import FileDrop

__all__ = ["FileDrop"]
