"""Turn labelled text into a LoRA sequence classifier, with a report that a person believes."""
