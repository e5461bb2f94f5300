"""What the desk needs from the outside, as Protocols at the height of the business."""
